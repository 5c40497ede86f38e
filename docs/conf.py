"""Configuration of the documentation."""

import snowai

project, author, copyright = "snowai", "The snowai authors", "2026, the snowai authors"
version = release = snowai.__version__
extensions = [
    "myst_nb",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.napoleon",
    "sphinx.ext.mathjax",
    "sphinx.ext.viewcode",
]
exclude_patterns = ["_build", "jupyter_execute"]
html_theme = "pydata_sphinx_theme"
html_title = "snowai"
autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_typehints_format = "short"
autodoc_preserve_defaults = True  # nn.Hardswish, not <class ...>.
python_maximum_signature_line_length = 80
autosummary_generate = False
napoleon_custom_sections = ["Shape", "Source"]
napoleon_use_rtype = False
nb_execution_mode = "off"  # Notebooks are executed by `nox -s examples`.
suppress_warnings = ["myst.xref_missing", "ref.python"]
