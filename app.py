"""Home: what this is and is not, the active model, where to go."""

import streamlit as st

import ui

ui.frame("Pneumonia on chest X-rays")

st.markdown(
    "Drop a chest film and see whether a network would call it pneumonia, how sure it "
    "is, which region made it say so, and what the chosen threshold misses. It stands "
    "beside a reader who decides. It never decides, and it is not a medical device."
)
st.page_link("pages/1_Classify.py", label="Classify films", icon=":material/radiology:")

with ui.show_errors():
    card = ui.active_card()
    ui.show_model_tiles(card)
    columns = st.grid(2, min_column_width=320, gap="large")
    with columns.cell():
        ui.show_purpose(card)
    with columns.cell():
        ui.show_limits(card)
