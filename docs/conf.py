# Copyright 2026 Seed f8673997 maintainers
# SPDX-License-Identifier: Apache-2.0
"""
Configure Sphinx, for `make docs` and for rosdoc2, which builds docs.ros.org.

The source folder is the package's root, so that the links of README.md and of the pages here mean
the same on the site as in the repository. rosdoc2 copies these files into a folder of its own, in
the same places, and runs this file inside its conf.py; what stands in it is left alone then.
"""

from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
import sys
from xml.etree import ElementTree

from sphinx.ext.autodoc.mock import mock
from sphinx.util.logging import getLogger

IN_ROSDOC2 = 'rosdoc2_settings' in globals()
HERE = Path(__file__).resolve().parent
ROOT = HERE if IN_ROSDOC2 else HERE.parent
DOCS = ROOT / 'docs'
sys.path.insert(0, str(ROOT))

MANIFEST = ElementTree.parse(ROOT / 'package.xml').getroot()
PACKAGE = MANIFEST.findtext('name')
if not IN_ROSDOC2:
    project = PACKAGE
    release = version = MANIFEST.findtext('version')
    author = ', '.join(element.text for element in MANIFEST.findall('author'))
    project_copyright = f'{author}. License: {MANIFEST.findtext("license")}'
    root_doc = 'docs/index'
    include_patterns = ['README.md', 'CHANGELOG.rst', 'CONTRIBUTING.md', 'docs/**']
    exclude_patterns = ['.*', 'build', 'install', 'log', '*.egg-info']

extensions = [
    'myst_parser', 'sphinx.ext.autodoc', 'sphinx.ext.mathjax', 'sphinx.ext.napoleon',
    'sphinx_rtd_theme',
]

# The order of the pages of this folder; a page that is not named comes after these.
PAGES = [
    'installation', 'node', 'robot', 'model', 'bags', 'training', 'distributed_training',
    'evaluation', 'replay', 'python', 'mathematics', 'benchmarks', 'architecture',
]

html_theme = 'sphinx_rtd_theme'
html_theme_options = {'navigation_depth': 4}
html_copy_source = False
html_static_path = [str(DOCS / '_static')]
html_css_files = ['site.css']

myst_enable_extensions = ['dollarmath']
myst_heading_anchors = 6

# The public names of a package are documented under it, wherever they are defined.
PUBLIC = ('vae', 'sensors', 'fusion', 'bags')
autodoc_default_options = {'members': True}
autodoc_member_order = 'bysource'
python_maximum_signature_line_length = 110
autodoc_mock_imports = [
    name for name in ('cv2', 'rosbags', 'safetensors', 'torch', 'yaml') if find_spec(name) is None
]
napoleon_google_docstring = False
napoleon_use_rtype = False

# `a name` in a docstring is code, and a link where it is a public name. Sphinx knows no names of
# other packages without asking a network.
default_role = 'py:obj'
nitpick_ignore_regex = [
    ('py:obj', '.*'),
    ('py:.*', r'(collections|nn|numpy|pathlib|torch|typing)\..*|Batch|Path|Subset|Tensor'),
]


def setup(app):
    """Connect what Sphinx has no setting for."""
    app.connect('builder-inited', import_public_names)
    app.connect('source-read', list_pages)
    app.connect('source-read', list_tables)
    app.connect('autodoc-process-docstring', tidy, priority=400)  # napoleon: 500
    app.connect('build-finished', write_front_page)


def import_public_names(app):
    """Import what autodoc would import too late, when nothing is mocked any more."""
    with mock(app.config.autodoc_mock_imports):
        for room in PUBLIC:
            package = import_module(f'{PACKAGE}.{room}')
            for name in package.__all__:
                try:
                    getattr(package, name)
                except Exception as error:
                    getLogger(__name__).warning('%s.%s: %r', package.__name__, name, error)


def list_pages(app, docname, source):
    """Put the pages of this folder in place of |pages|, and what the package is."""
    if docname == 'docs/index':
        names = sorted(page.stem for page in DOCS.glob('*.md'))
        names.sort(key=lambda name: PAGES.index(name) if name in PAGES else len(PAGES))
        source[0] = source[0].replace('|pages|', '\n   '.join(names)).replace(
            '|description|', MANIFEST.findtext('description')
        )


def list_tables(app, docname, source):
    """Put the pages of docs/benchmarks below that of the verdict, where only Sphinx sees it."""
    if docname == 'docs/benchmarks':
        tables = '\n\n```{toctree}\n:hidden:\n:glob:\n\nbenchmarks/*\n```\n\n'
        source[0] = source[0].replace('\n\n', tables, 1)


def tidy(app, what, name, obj, options, lines):
    """Leave what napoleon would take for the type of a property, and what Python wrote."""
    if what in ('attribute', 'data', 'property'):
        lines.insert(0, '\\ ')  # else the words before a colon become the type
    if lines[1:2] and lines[1].startswith('Alias for field number'):
        lines.clear()


def write_front_page(app, failure):
    """Write an index.html that leads to the first page, unless that is what it is called."""
    if failure is None and app.builder.name == 'html' and app.config.root_doc != 'index':
        first = app.builder.get_target_uri(app.config.root_doc)
        (Path(app.outdir) / 'index.html').write_text(
            f'<!DOCTYPE html>\n<title>{app.config.html_title}</title>\n'
            f'<meta http-equiv="refresh" content="0; url={first}">\n'
            f'<a href="{first}">{app.config.html_title}</a>\n'
        )
