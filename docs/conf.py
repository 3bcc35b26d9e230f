"""How Sphinx builds the documentation: `make docs`."""

import warnings

from docutils import nodes
from docutils.utils.math.latex2mathml import tex2mathml

from sklearn_ae import __version__

project = "sklearn_ae"
copyright = "sklearn_ae developers"
version = release = __version__

extensions = [
    "myst_parser",
    "numpydoc",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx_gallery.gen_gallery",
]
exclude_patterns = ["_build", "auto_examples/*.ipynb", "auto_examples/*.py"]
templates_path = ["_templates"]

# Every reference to one of our names must resolve; those of others are not looked up.
nitpicky = True
nitpick_ignore_regex = [("py:.*", r"(?!sklearn_ae).*")]
myst_enable_extensions = ["attrs_inline", "colon_fence", "dollarmath"]
myst_heading_anchors = 3
numpydoc_show_class_members = False
autosummary_generate = True
autodoc_typehints = "none"
toc_object_entries_show_parents = "hide"
highlight_language = "none"  # of blocks that name none: what commands print

html_math_renderer = "mathml"
html_theme = "pydata_sphinx_theme"
html_title = "sklearn_ae"
html_static_path = ["_static"]
html_css_files = ["gallery.css"]
html_copy_source = False
html_theme_options = {
    "show_prev_next": False,
    "navigation_with_keys": False,
    "secondary_sidebar_items": ["page-toc"],
    "footer_start": ["copyright"],
    "footer_end": ["sphinx-version"],
    "pygments_light_style": "tango",
}
html_sidebars = {"start": [], "api": [], "comparison": [], "benchmarks": [], "changelog": []}

sphinx_gallery_conf = {
    "examples_dirs": "../examples",
    "gallery_dirs": "auto_examples",
    "reference_url": {"sklearn_ae": None},
    "doc_module": ("sklearn_ae",),
    "backreferences_dir": "generated/backreferences",
    "within_subsection_order": "FileNameSortKey",
    "capture_repr": (),
    "show_memory": False,
    "download_all_examples": False,
    "plot_gallery": "True",
    "abort_on_example_error": True,
    "matplotlib_animations": False,
    "remove_config_comments": True,
}
# An example that warns fails the build.
warnings.filterwarnings("error", module="__main__")


def setup(app):
    """Write formulas as MathML, which browsers show by themselves: no script from elsewhere."""

    def inline(translator, node):
        translator.body.append(tex2mathml(node.astext()))
        raise nodes.SkipNode

    def block(translator, node):
        translator.body.append(
            f'<div class="formula">{tex2mathml(node.astext(), as_block=True)}</div>'
        )
        raise nodes.SkipNode

    app.add_html_math_renderer("mathml", (inline, None), (block, None))
    return {"parallel_read_safe": True}
