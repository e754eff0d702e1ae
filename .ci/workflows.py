"""Runs the steps of .github/actions/host as GitHub's runner would, against the host that HOST_PROGRAM names, and holds
the workflow `live` to what no linter knows of it.

The runner itself is played: contexts and conditions as far as the action uses them, and the files that steps write to.
Steps that use another action are noted, not run.
"""

import os
import re
import shutil
import signal
import subprocess
import tarfile
import tempfile
import time
import tomllib
import unittest
from pathlib import Path

from ruamel.yaml import YAML

REPOSITORY = Path(__file__).resolve().parent.parent
ACTION = REPOSITORY / ".github/actions/host"
HOST = Path(os.environ["HOST_PROGRAM"]).resolve()
SECRET = "sk-planted-0123456789-abcdefghij"
# What reaches a shell only if an input becomes part of its script.
HOSTILE = "\"; touch pwned; ' `touch pwned` $(touch pwned)"

# Plugins are compiled once for all tests.
COMPILED = tempfile.TemporaryDirectory()
DEFINITION = YAML(typ="safe", pure=True).load(ACTION / "action.yml")
LIVE = YAML(typ="safe", pure=True).load(REPOSITORY / ".github/workflows/live.yml")


class Step:
    def __init__(self):
        self.outputs, self.summary, self.log, self.env, self.used, self.code = {}, "", "", {}, None, None


class Runner:
    """One use of the action in a job."""

    def __init__(self, folder, temp=None, path=None, **inputs):
        self.workspace = folder
        self.temp = temp or Path(tempfile.mkdtemp(dir=folder.parent, prefix="runner temp "))
        self.path = path or os.environ["PATH"]
        defaults = {name: of.get("default", "") for name, of in DEFINITION["inputs"].items()}
        given = {name.replace("_", "-"): value for name, value in inputs.items()}
        assert given.keys() <= defaults.keys(), given
        self.inputs = defaults | given
        self.steps, self.named, self.failed, self.interrupt = [], {}, False, None
        self.action = ACTION

    def value(self, term):
        term = term.strip()
        if term.startswith("'"):
            return term[1:-1]
        if term == "always()":
            return True
        match term.split("."):
            case ["inputs", name]:
                return self.inputs[name]
            case ["steps", step, "outputs", name]:
                return self.named[step].outputs.get(name, "") if step in self.named else ""
            case ["runner", "os"]:
                return "Linux"
            case ["runner", "arch"]:
                return "X64"
            case ["github", "run_attempt"]:
                return "3"
        raise AssertionError(f"this test does not know `{term}`")

    def text(self, written):
        return re.sub(r"\$\{\{(.*?)\}\}", lambda found: self.value(found[1]), str(written))

    def wanted(self, condition):
        if self.failed and "always()" not in condition:
            return False
        for part in condition.split("&&"):
            sides = re.split(r"(==|!=)", part)
            if len(sides) == 1:
                met = self.value(part)
            else:
                met = (self.value(sides[0]) == self.value(sides[2])) == (sides[1] == "==")
            if not met:
                return False
        return True

    def go(self):
        for written in DEFINITION["runs"]["steps"]:
            if not self.wanted(written.get("if", "'true'")):
                continue
            step = Step()
            self.steps.append(step)
            self.named[written.get("id", written.get("name", written.get("uses")))] = step
            if "uses" in written:
                step.used = {key: self.text(value) for key, value in written["with"].items()}
            else:
                self.run(step, written)
        self.outputs = {name: self.text(of["value"]) for name, of in DEFINITION["outputs"].items()}
        return self

    def run(self, step, written):
        assert written["shell"] == "bash" and "${{" not in written["run"]
        files = Path(tempfile.mkdtemp(dir=self.temp, prefix="step "))
        script, output, summary = files / "script.sh", files / "output", files / "summary"
        script.write_text(written["run"])
        output.touch()
        summary.touch()
        step.env = {key: self.text(value) for key, value in written.get("env", {}).items()}
        runner = {
            "PATH": self.path,
            "HOME": str(self.temp),
            "CI": "true",
            "GITHUB_ACTIONS": "true",
            "GITHUB_ACTION_PATH": str(self.action),
            "GITHUB_OUTPUT": str(output),
            "GITHUB_STEP_SUMMARY": str(summary),
            "GITHUB_WORKSPACE": str(self.workspace),
            "HOST_CACHE_DIR": COMPILED.name,
            "RUNNER_OS": "Linux",
            "RUNNER_TEMP": str(self.temp),
        }
        with open(files / "log", "w+", encoding="utf-8") as log:
            child = subprocess.Popen(
                ["bash", "--noprofile", "--norc", "-e", "-o", "pipefail", script],
                cwd=self.workspace / self.text(written.get("working-directory", ".")),
                env=runner | step.env,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                # A background job of a script ignores SIGINT, and a shell cannot undo that.
                preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
            )
            if self.interrupt and written.get("id") == "run":
                self.interrupt(self, child)
            step.code = child.wait()
            log.seek(0)
            step.log = log.read()
        for line in output.read_text().splitlines():
            key, _, value = line.partition("=")
            step.outputs[key] = value
        step.summary = summary.read_text()
        self.failed = self.failed or step.code != 0

    def uploaded(self):
        for step in self.steps:
            if step.used is not None and "retention-days" in step.used:
                return step.used
        return None

    def archive(self):
        uploaded = self.uploaded()
        return tarfile.open(uploaded["path"])

    def told(self):
        return "\n".join(f"[{name}] {step.code}\n{step.log}" for name, step in self.named.items())


class Action(unittest.TestCase):
    def setUp(self):
        self.folder = Path(self.enterContext(tempfile.TemporaryDirectory(prefix="host action ")))
        self.workspace = self.folder / "work space"
        shutil.copytree(REPOSITORY / "scenarios", self.workspace / "scenarios")
        (self.workspace / "my plugins").mkdir()
        (self.workspace / "other").mkdir()
        for plugin in (REPOSITORY / "plugins").glob("*.wasm"):
            to = "other/the gate.wasm" if plugin.stem == "gate" else f"my plugins/{plugin.name}"
            shutil.copy(plugin, self.workspace / to)
            # Grants are given to the plugin that the scenario's file names, and to no other.
            scenario = self.workspace / "scenarios" / plugin.stem / "scenario.toml"
            scenario.write_text(scenario.read_text().replace(f"plugins/{plugin.name}", to))
        self.plugins = "my plugins/*.wasm\r\n\nother/the gate.wasm\n"

    def act(self, interrupt=None, **inputs):
        runner = Runner(self.workspace, **{"host": str(HOST), "plugins": self.plugins} | inputs)
        runner.interrupt = interrupt
        runner.go()
        # No step but the one that runs the scenarios has the key.
        for name, step in runner.named.items():
            told = [step.log, step.summary, str(step.outputs), str(step.used), *(step.env.values() if name != "run" else [])]
            self.assertNotIn(SECRET, "\n".join(told), name)
        self.assertFalse(list(self.folder.rglob("pwned")), "an input became part of a script")
        return runner

    def command_lane(self, script):
        """A suite with a lane `live` whose agent is this script."""
        agent = self.workspace / "agent.sh"
        agent.write_text(f"#!/bin/sh\n{script}\n")
        agent.chmod(0o755)
        suite = self.workspace / "scenarios/live.toml"
        suite.write_text(
            'canary = ["ensign-cycle"]\n[lane.live]\nkind = "command"\ncommand = "./agent.sh"\ncredentials = ["MY_KEY"]\n'
        )
        return {"suite": "scenarios/live.toml", "lane": "live", "key_variable": "MY_KEY", "key": SECRET}

    def test_a_suite_that_passes_is_told_and_kept(self):
        ran = self.act(lane="scripted")
        self.assertFalse(ran.failed, ran.told())
        self.assertEqual(ran.outputs["exit-code"], "0")
        directory = Path(ran.outputs["run-directory"])
        self.assertEqual(directory.name, ran.outputs["run"])
        self.assertTrue((directory / "junit.xml").is_file())
        self.assertIn("### Lane scripted: 5 passed\n", ran.named["run"].summary)
        self.assertEqual(ran.outputs["artifact"], "host-scripted-attempt-3")
        self.assertEqual(ran.uploaded()["name"], "host-scripted-attempt-3")
        with ran.archive() as archive:
            self.assertIn(f"./{directory.name}/events.jsonl", archive.getnames())
        self.assertNotIn("Build host", ran.named)

    def test_the_lanes_are_those_of_the_suite_where_none_is_named(self):
        ran = self.act(working_directory="scenarios", suite=".", plugins="../my plugins/ensign-cycle.wasm")
        self.assertFalse(ran.failed, ran.told())
        self.assertIn("### Lane scripted: 1 passed\n", ran.named["run"].summary)
        self.assertEqual(ran.outputs["artifact"], "host-attempt-3")

    def test_a_failing_agent_fails_the_step_and_everything_is_kept(self):
        ran = self.act(lane="scripted", args="--agent\nwrong-no-verdict\n")
        self.assertEqual((ran.named["run"].code, ran.outputs["exit-code"]), (105, "105"), ran.told())
        self.assertIn("### Lane scripted: 0 passed, 1 failed, 4 blocked\n", ran.named["run"].summary)
        self.assertIn("::error file=", ran.named["run"].log)
        with ran.archive() as archive:
            self.assertIn("events.jsonl", {Path(name).name for name in archive.getnames()})

    def test_without_a_run_the_summary_names_the_lane_and_nothing_is_uploaded(self):
        ran = self.act(lane="nosuch")
        self.assertEqual((ran.named["run"].code, ran.outputs["exit-code"]), (96, "96"), ran.told())
        self.assertTrue(ran.named["run"].summary.startswith("## host lane nosuch: exit code 96\n"))
        self.assertEqual((ran.uploaded(), ran.outputs["artifact"], ran.outputs["run-directory"]), (None, "", ""))

    def test_no_input_becomes_part_of_a_script(self):
        texts = ("suite", "plugins", "lane", "profile", "args", "key_variable", "key", "host", "artifact")
        for name in texts:
            with self.subTest(name):
                self.assertEqual(self.act(**{"lane": "scripted", name: HOSTILE}).failed, name != "artifact")
        ran = self.act(artifact=HOSTILE)
        self.assertRegex(ran.outputs["artifact"], r"^[A-Za-z0-9._-]+-attempt-3$")

    def test_the_agent_gets_the_key_and_its_files_are_kept_whatever_their_names(self):
        script = 'echo "a key of ${#MY_KEY} characters"\necho "$MY_KEY" >copied\n: >"a:b?"'
        ran = self.act(**self.command_lane(script))
        self.assertEqual(ran.outputs["exit-code"], "105", ran.told())
        with ran.archive() as archive:
            found = {member.name.split("/attempt-1/", 1)[-1]: member for member in archive.getmembers()}
            self.assertIn("root/a:b?", found)
            texts = {name: archive.extractfile(member).read() for name, member in found.items() if member.isfile()}
        said = next(text for name, text in texts.items() if name.endswith("/final-message.txt"))
        self.assertEqual(said, f"a key of {len(SECRET)} characters".encode())
        self.assertEqual([name for name, text in texts.items() if SECRET.encode() in text], [])

    def test_a_missing_secret_is_refused(self):
        ran = self.act(**self.command_lane("exit 0") | {"key": ""})
        self.assertEqual((ran.named["run"].code, ran.outputs["exit-code"]), (1, ""), ran.told())
        self.assertIn("::error title=host lane live::there is no secret for MY_KEY", ran.named["run"].log)
        self.assertTrue(ran.named["run"].summary.startswith("## host lane live: did not start\n"))

    def test_a_cancelled_run_is_reported_and_kept(self):
        def interrupt(runner, child):
            while child.poll() is None:
                if any("begun" in path.read_text() for path in runner.temp.rglob("stream.jsonl")):
                    return child.send_signal(signal.SIGINT)  # the shell alone, as the runner does
                time.sleep(0.05)

        ran = self.act(interrupt, **self.command_lane("echo begun\nexec sleep 1000.4242"))
        self.assertEqual((ran.named["run"].code, ran.outputs["exit-code"]), (130, "130"), ran.told())
        self.assertIn("### Lane live: 0 passed", ran.named["run"].summary)
        self.assertIsNotNone(ran.uploaded())

    def test_plugins_are_built_with_the_host_and_without_the_key(self):
        build = self.workspace / "my build.sh"
        build.write_text(
            "#!/bin/sh\nhost --version >built-with\nscenario-host --version >>built-with\nenv >build-env\n"
            'mv plugins.later/* "my plugins"\n'
        )
        build.chmod(0o755)
        (self.workspace / "my plugins").rename(self.workspace / "plugins.later")
        (self.workspace / "my plugins").mkdir()
        ran = self.act(lane="scripted", build="my build.sh")
        self.assertFalse(ran.failed, ran.told())
        self.assertRegex((self.workspace / "built-with").read_text(), r"^(scenario-host \d+\.\d+\.\d+\n){2}$")
        self.assertNotIn("KEY", (self.workspace / "build-env").read_text())
        refused = self.act(lane="scripted", build="no such.sh")
        self.assertTrue(refused.failed)
        self.assertIn("the input build names no program", refused.named["Build the plugins"].log)

    def test_a_host_of_another_package_is_refused(self):
        other = self.workspace / "host"
        other.write_text("#!/bin/sh\n[ $# = 1 ] || touch pwned\necho 'Usage: host [-aCdilrTvVw] name [server]' >&2\nexit 1\n")
        other.chmod(0o755)
        refused = self.act(lane="scripted", host="host")
        self.assertTrue(refused.failed)
        self.assertIn("the input host names another program, not scenario-host", refused.named["host"].log)
        self.assertFalse(list(self.folder.rglob("pwned")))

    def test_no_program_of_the_checkout_runs_for_one_of_the_system(self):
        for name in ["mktemp", "realpath", "git", "tar", "sed", "printf", "sh"]:
            (self.workspace / name).write_text("#!/bin/sh\ntouch pwned\n")
            (self.workspace / name).chmod(0o755)
        runner = Runner(
            self.workspace, path=f".::{os.environ['PATH']}:.", host=str(HOST), plugins=self.plugins, lane="scripted"
        ).go()
        self.assertFalse(runner.failed, runner.told())
        self.assertFalse(list(self.folder.rglob("pwned")))

    def test_the_host_is_built_outside_of_a_workspace_that_the_action_lies_in(self):
        tools, noted = self.folder / "tools", self.folder / "noted"
        tools.mkdir()
        (tools / "rustup").write_text("#!/bin/sh\n")
        (tools / "cargo").write_text(
            f'#!/bin/sh\nset -e\npwd -P >"{noted}"\nls >>"{noted}"\nmkdir -p "$6/bin"\ncp "{HOST}" "$6/bin/host"\n'
        )
        for tool in tools.iterdir():
            tool.chmod(0o755)
        vendored = self.workspace / "vendor/host"
        (vendored / ".github/actions/host").mkdir(parents=True)
        shutil.copy(REPOSITORY / "Cargo.toml", vendored)
        shutil.copy(REPOSITORY / "Cargo.lock", vendored)
        (vendored / "host/cli/src").mkdir(parents=True)
        (vendored / "host/cli/Cargo.toml").touch()
        (vendored / "wit").mkdir()
        runner = Runner(self.workspace, path=f"{tools}:{os.environ['PATH']}", plugins="my plugins/ensign-cycle.wasm")
        runner.action = vendored / ".github/actions/host"
        runner.go()
        self.assertFalse(runner.failed, runner.told())
        folder, *files = noted.read_text().splitlines()
        self.assertFalse(Path(folder).is_relative_to(self.workspace), folder)
        self.assertEqual(files, ["Cargo.lock", "Cargo.toml", "host", "wit"])

    def test_the_host_is_built_once_from_the_source_of_the_action(self):
        tools, noted = self.folder / "tools", self.folder / "noted"
        tools.mkdir()
        # cargo install, as far as the action needs it: it leaves the program below --root.
        for name, script in {
            "rustup": 'echo "rustup $*" >>"$NOTED"\n',
            "cargo": 'echo "cargo $RUSTUP_TOOLCHAIN $(pwd -P) $*" >>"$NOTED"\nmkdir -p "$6/bin"\ncp "$BUILT" "$6/bin/host"\n',
        }.items():
            (tools / name).write_text(f"#!/bin/sh\nset -e\nNOTED='{noted}' BUILT='{HOST}'\n{script}")
            (tools / name).chmod(0o755)
        path = f"{tools}:{os.environ['PATH']}"
        first = self.act(host="", path=path, plugins="my plugins/ensign-cycle.wasm")
        self.assertFalse(first.failed, first.told())
        folder = first.named["host"].outputs["folder"]
        rust = re.search(r'^rust-version = "(.*)"$', (REPOSITORY / "Cargo.toml").read_text(), re.M)[1]
        self.assertEqual(
            noted.read_text(),
            f"rustup run {rust} cargo --version\n"
            f"cargo {rust} {REPOSITORY} install --locked --path host/cli --root {folder} --target-dir {first.temp}/host-target\n",
        )
        self.assertFalse([step for step in first.steps if step.used and "key" in step.used], "a cache that nobody asked for")
        again = self.act(host="", cache="true", path=path, temp=first.temp, plugins="my plugins/ensign-cycle.wasm")
        self.assertFalse(again.failed, again.told())
        self.assertEqual(noted.read_text().count(" install "), 1, "it was built again")
        cache = [step.used for step in again.steps if step.used and "key" in step.used]
        self.assertEqual(cache, [{"path": folder, "key": f"host-Linux-X64-{Path(folder).name.removeprefix('host-')}"}])


class Live(unittest.TestCase):
    def test_only_the_action_of_a_lane_has_a_key_and_only_behind_its_environment(self):
        lane = LIVE["jobs"]["lane"]
        self.assertEqual(lane["environment"], "live-${{ matrix.lane }}")
        self.assertEqual(lane["needs"], "offline")
        self.assertIn("github.event.pull_request.head.repo.full_name == github.repository", lane["if"])
        action = lane["steps"][-1]
        self.assertEqual(action["uses"], "$/.github/actions/host")
        self.assertEqual(action["with"]["key"], "${{ secrets.PROVIDER_KEY }}")
        self.assertEqual(re.findall(r"secrets\W\w+", str(LIVE)), ["secrets.PROVIDER_KEY"])

    def test_nothing_is_taken_from_a_cache(self):
        for job in LIVE["jobs"].values():
            for step in job["steps"]:
                self.assertNotIn("actions/cache", step.get("uses", ""))
                self.assertNotIn("cache", step.get("with", {}))

    def test_there_is_a_job_for_each_lane_of_the_live_suite_with_the_credential_that_it_lists(self):
        lanes = tomllib.loads((REPOSITORY / "scenarios/live.toml").read_text())["lane"]
        jobs = LIVE["jobs"]["lane"]["strategy"]["matrix"]["include"]
        self.assertEqual(
            {job["lane"]: [job["key-variable"]] for job in jobs},
            {name: lane["credentials"] for name, lane in lanes.items()},
        )


if __name__ == "__main__":
    unittest.main(verbosity=2)
