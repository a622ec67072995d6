"""notebooks_test.py MOESIM: every notebook runs from top to bottom, and its cells assert what it
concludes. What is kept of it holds no output."""

import os
import pathlib
import sys
import unittest

import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError

FOLDER = pathlib.Path(__file__).resolve().parents[2] / "notebooks"


def run(notebook, folder=FOLDER):
    """Executes the cells; a cell that fails raises CellExecutionError."""
    NotebookClient(notebook, timeout=60, kernel_name="python3",
                   resources={"metadata": {"path": str(folder)}}).execute()
    return notebook


class Notebooks(unittest.TestCase):
    def test_each_runs_and_its_conclusion_holds(self):
        paths = sorted(FOLDER.glob("*.ipynb"))
        self.assertTrue(paths)
        for path in paths:
            with self.subTest(path.name):
                done = run(nbformat.read(path, as_version=4))
                pictures = [output for cell in done.cells for output in cell.get("outputs", [])
                            if "image/png" in output.get("data", {})]
                self.assertTrue(pictures)

    def test_a_conclusion_that_no_longer_holds_is_noticed(self):
        notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("assert 1 < 0")])
        with self.assertRaises(CellExecutionError):
            run(notebook)

    def test_kept_notebooks_hold_no_output(self):
        for path in FOLDER.glob("*.ipynb"):
            notebook = nbformat.read(path, as_version=4)
            nbformat.validate(notebook)
            for cell in notebook.cells:
                self.assertFalse(cell.get("outputs"), path.name)
                self.assertIsNone(cell.get("execution_count"), path.name)


if __name__ == "__main__":
    os.environ["MOESIM"] = os.path.abspath(sys.argv.pop(1))
    # Modules are imported from a source tree that stays as it is.
    os.environ["PYTHONDONTWRITEBYTECODE"] = "1"
    # Debian's frozen Python modules make the kernel's debugger complain, which nobody uses here.
    os.environ["PYDEVD_DISABLE_FILE_VALIDATION"] = "1"
    unittest.main()
