import tempfile
import unittest
from pathlib import Path

from scenario import SCENARIO
from scenario_sdk import Evidence, Tree

FIXTURE = Path(__file__).parent.parent / "scenarios/scenario-name/root"


def findings(left: dict[str, str]) -> list[str]:
    """The codes that the grader gives when the agent leaves these files."""
    with tempfile.TemporaryDirectory() as root:
        for name, text in left.items():
            (Path(root) / name).write_text(text)
        return list(SCENARIO.judge(Evidence(Tree(FIXTURE), Tree(root))))


class GraderTest(unittest.TestCase):
    letter = (FIXTURE / "letter.txt").read_text()

    def test_an_answer_beside_the_letter_is_right(self) -> None:
        self.assertEqual(findings({"letter.txt": self.letter, "answer.txt": "Hello Ada!\n"}), [])

    def test_each_clause_has_its_finding(self) -> None:
        self.assertEqual(findings({"letter.txt": self.letter}), ["no-answer"])
        self.assertEqual(findings({"answer.txt": "Hello Ada!\n"}), ["letter-changed"])


if __name__ == "__main__":
    unittest.main()
