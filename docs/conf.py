"""Sphinx: the documentation of frame-async."""

from sphinx.ext.napoleon import GoogleDocstring

from frame_async import __version__

# Napoleon would read "Seconds until it ends: ..." in the docstring of an attribute as its type.
GoogleDocstring._consume_inline_attribute = lambda self: ("", self._consume_to_end())

project = "frame-async"
author = "The frame-async authors"
copyright = "2026, The frame-async authors"
version = release = __version__

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx_copybutton"]
copybutton_prompt_text = "$ "
copybutton_selector = "div:not(.highlight-text) > div.highlight > pre"  # output isn't to be copied
exclude_patterns = ["_build"]
default_role = "any"
nitpicky = True
nitpick_ignore_regex = [
    ("py:.*", r"collections\.abc\..*"),
    ("py:.*", r"(os|datetime|ssl|typing|enum|pathlib|attr|attrs|io|types)\..*"),
    (
        "py:.*",
        r"frame_async\.(calls|secret|observers|protocol|transport|resources|settings|shapes)\..*",
    ),
    ("py:.*", r"(opentelemetry|prometheus_client)\..*"),
    # Shown, but not indexed: names such as `url` are meant of other classes elsewhere.
    ("py:.*", r"frame_async\.emulator\.webhooks\.deliveries\..*"),
    ("py:.*", r"frame_async\.emulator\.state\.products\.Shelf"),
    ("py:.*", r"frame_async\.models\.(_).*"),
    ("py:.*", r"(Headers|Response|WerkzeugResponse)"),  # of Quart, which names them so
    ("py:.*", r"(aiohttp|contextlib|django|fastapi|litestar|procrastinate|quart|starlette)\..*"),
    ("py:.*", r"frame_async\.integrations\.(\w+\.)?(_|T\b).*"),
    (
        "py:.*",
        r"(T_co|C|Broken|Rule|optional|frame_async\.testing\.emulators\.T|frame_async\.engine\.pool\.T)",
    ),
]

myst_heading_anchors = 3
myst_links_external_new_tab = False

autodoc_member_order = "bysource"
autodoc_typehints = "description"
autodoc_typehints_description_target = "documented"
autodoc_class_signature = "mixed"

html_theme = "furo"
html_title = f"frame-async {version}"
html_static_path = ["_static"]
html_css_files = ["tables.css"]
