"""The site: `sphinx-build -c docs . build/docs/html`, which is `make docs`.

The source directory is the repository's root, so that README.md and benchmarks/RESULTS.md are pages
like the others, and a link that works where the files lie works on the site.
"""

from __future__ import annotations

from importlib.metadata import version as installed_version

project = "llamad"
author = "the llamad developers"
copyright = author  # noqa: A001 - Sphinx's name for it
version = release = installed_version("llamad")

extensions = ["myst_nb", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx.ext.viewcode"]
root_doc = "docs/index"
include_patterns = ["*.md", "benchmarks/*.md", "docs/**"]
exclude_patterns = [".*", "**/.*", "build", "cmake", "cpp", "dist", "models", "python", "tests"]
templates_path = ["_templates"]

# Notebooks come with outputs; the tests execute them.
nb_execution_mode = "off"
# `[…](page.md#heading)` finds headings as they are found where the repository is shown.
myst_heading_anchors = 3

autodoc_typehints_format = "short"
autodoc_member_order = "bysource"
autodoc_preserve_defaults = True
# The docstrings of a class and of its __init__, which lists the options.
autoclass_content = "both"
napoleon_numpy_docstring = False
# Fields of dataclasses stand in "Attributes:", not in entries of their own that would say less.
napoleon_use_ivar = True
# `Name` in a docstring is a link where there is such a thing, and code where there is not.
default_role = "py:obj"

# Shell examples with multi-line arguments are more than the lexer of "console" knows; it colours what it can.
suppress_warnings = ["misc.highlighting_failure"]

html_theme = "furo"
html_title = "llamad"
html_additional_pages = {"index": "to_root.html"}
html_copy_source = False
html_show_sphinx = False
html_show_copyright = False
