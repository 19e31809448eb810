import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


# Before a script: packages that it cannot import.
WITHOUT = """
import sys
class Missing:
    def find_spec(name, path=None, target=None):
        if name.split(".")[0] in {packages}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)
sys.meta_path.insert(0, Missing)
"""


def evaluate(place: str, without: list[str]) -> str:
    """Run the command without some packages; return what it says on standard error."""
    run = f"from bigbird_cli.evaluate_command import command\ncommand([{place!r}, '--task', 'qa', '--data', 'LICENSE'])"
    script = WITHOUT.format(packages=without) + run
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 1, done.stderr
    return done.stderr


def test_a_server_is_measured_without_torch_and_onnxruntime() -> None:
    said = evaluate("http://127.0.0.1:1", ["torch", "onnxruntime", "seqeval", "sklearn", "transformers"])
    assert said.startswith("Error: http://127.0.0.1:1: no answer")


def test_a_bundle_is_measured_without_torch() -> None:
    script = "import evaluation.bundle_service"
    without = WITHOUT.format(packages=["torch", "seqeval", "sklearn", "transformers"])
    subprocess.run([sys.executable, "-c", without + script], cwd=ROOT, check=True)


def test_a_bundle_without_onnxruntime_says_what_to_install() -> None:
    script = (
        "from pathlib import Path; from evaluation.connection import _served\n"
        "from evaluation.errors import EvaluationError\n"
        "try: _served(Path('x'))\n"
        "except EvaluationError as error: print(error)"
    )
    without = WITHOUT.format(packages=["onnxruntime"])
    done = subprocess.run(
        [sys.executable, "-c", without + script], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout == (
        f"a bundle needs the package 'onnxruntime', which is not installed: pip install '{ROOT}[evaluate,cpu]'\n"
    )
