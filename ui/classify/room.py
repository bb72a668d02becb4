"""How large the film is and what stands beside it: the measures of the Classify page.

It owns the page's own style. Beside the words the film has one place, whatever its
shape, so that nothing moves from film to film; the picture is as large in it as its
shape allows. The list has two lines for a film and a bar in place of a button.
"""

import streamlit as st

# Beside the film the panel takes what its three buttons need, and the film the rest; on
# a page too narrow for both, the film comes first. The place of the film is as high as
# the screen leaves it, and never higher than wide; a place that is wider than that
# would only be black. With the words below it, it is as high as the film.
LOOK = """<style>
.stMainBlockContainer:has(.st-key-reading_room) {
  padding: 2.75rem .75rem 2rem; container: page / inline-size}
.st-key-reading_room {align-items: flex-start; gap: .75rem}
.st-key-reading_room > div:has(> .st-key-film_pane) {
  flex: 1000 1 560px; min-width: min(560px, 100%);
  max-width: max(560px, 145vh - 290px); container-type: inline-size}
.st-key-reading_room > div:has(> .st-key-reading_panel) {
  flex: 1 1 264px; min-width: min(264px, 100%); max-width: 560px}
.st-key-film_pane [data-testid=stImage] img {
  width: 100%; height: min(max(20rem, 100vh - 200px), 100cqw); object-fit: contain;
  background: #000}
@container page (max-width: 835px) {
  .st-key-film_pane [data-testid=stImage] img {height: auto; max-height: 100cqw}}
.st-key-reading_panel {container: panel / inline-size; overflow-wrap: anywhere}
@container panel (max-width: 339px) {
  [class*=st-key-review_] span:has(> [data-testid=stIconMaterial]) {display: none}
  [data-testid=stHorizontalBlock]:has(> .st-key-review_agree) {gap: .375rem}
  [class*=st-key-review_] button {padding-inline: .5rem}}
[data-testid=stSidebarUserContent]:has(.st-key-worklist) {margin-inline: -.875rem}
.st-key-worklist {
  max-height: min(60vh, 25rem); overflow-y: auto; padding: .25rem;
  flex-wrap: nowrap; overflow-wrap: anywhere}
.st-key-worklist [role=radiogroup] {gap: 0}
.st-key-worklist :is(.stElementContainer, .stRadio, [role=radiogroup], .stRadio div) {
  width: 100%}
.st-key-worklist p > span:not([class]) {font-size: .8125rem !important}
.st-key-worklist [data-testid=stRadioOption] {
  width: 100%; margin: 0; padding: .1875rem .5rem; border-left: 3px solid transparent}
.st-key-worklist [data-testid=stRadioOption] > div > div:first-child {display: none}
.st-key-worklist [data-testid=stRadioOption]:has(input:checked) {
  border-color: currentColor;
  background: color-mix(in srgb, currentColor 7%, transparent)}
.st-key-worklist [data-testid=stRadioOption]:has(input:focus-visible) {
  outline: 2px solid currentColor; outline-offset: -2px}
</style>"""


def reading_room() -> tuple[
    st.delta_generator.DeltaGenerator, st.delta_generator.DeltaGenerator
]:
    """Returns the place of the film and, beside it or below, that of the words."""
    st.html(LOOK)
    room = st.container(horizontal=True, key="reading_room")
    return (
        room.container(key="film_pane", gap="xsmall"),
        room.container(key="reading_panel", gap="xsmall"),
    )
