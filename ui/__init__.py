"""All Streamlit code: what pages share lies flat, each page has a folder."""
