"""Sphinx: Markdown pages, and a reference that is generated from the code.

Warnings are errors, and every cross-reference must resolve (``make docs``). Nothing is fetched.
"""

import sys
from importlib.metadata import version as version_of
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent / "_ext"))

project = "Offload"
author = "The Offload authors"
copyright = "The Offload authors"
version = release = version_of("offload")

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx_copybutton",
    "generate",
]
# The page of settings includes its generated part.
exclude_patterns = ["_build", "_ext", "reference/generated/settings.md"]
root_doc = "index"

html_theme = "furo"
html_title = f"Offload {version}"
html_show_sphinx = False

myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 3

# A reader copies the commands, not the prompts and not the output.
copybutton_prompt_text = r"\$ |> "
copybutton_prompt_is_regexp = True
copybutton_exclude = ".linenos, .gp, .go"

autodoc_member_order = "bysource"
autodoc_typehints = "description"
autodoc_typehints_description_target = "documented_params"
autodoc_default_options = {"members": True, "undoc-members": False}
napoleon_numpy_docstring = False
napoleon_use_ivar = True

# Names of the standard library have no page here, and neither have type variables.
nitpick_ignore_regex = [
    (r"py:.*", r"(collections|pathlib|typing|enum|os|types|click|datetime|dataclasses)(\..*)?"),
    (
        r"py:.*",
        r"(Path|Mapping|Iterator|Iterable|Sequence|Any|Final|StrEnum|ClassVar|Exception|AsyncIterator)",
    ),
    # Errors have a page of their own; ids are names for text.
    (r"py:exc", r"\w+Error"),
    (r"py:.*", r"offload\.model\.ids\.\w+"),
    (r"py:class", r"(Synced|ReasonCode)"),
    (r"py:.*", r"(int|str|float|bool|bytes|dict|list|tuple|set|None|object|T)"),
]
