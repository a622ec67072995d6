"""Every rule of check_architecture.py finds what it forbids, and nothing in a tree that obeys."""

import pathlib
import tempfile
import unittest

import check_architecture

CLEAN = {
    "CMakeLists.txt": "add_subdirectory(hardware)\n",
    "sim/core/CMakeLists.txt": "moesim_library(core SOURCES error.cpp)\n",
    "sim/core/error.h": "#pragma once\n#include <nlohmann/json_fwd.hpp>\n",
    "sim/core/error.cpp": '#include "sim/core/error.h"\n#include <nlohmann/json.hpp>\n',
    "hardware/CMakeLists.txt": "moesim_library(hardware SOURCES device.cpp\n  link.cpp)\n",
    "hardware/device.h": '#pragma once\n#include "sim/core/error.h"\n',
    "hardware/device.cpp": '#include "hardware/device.h"\n',
    "hardware/link.cpp": "int hops();\n",
    "models/operators/op.h": "#pragma once\n",
    "sim/flow/task_graph.h": '#pragma once\n#include "sim/core/error.h"\n',
    "sim/engine/step.h": '#pragma once\n#include "hardware/device.h"\n#include "models/operators/op.h"\n'
                         '#include "sim/flow/task_graph.h"\n',
    "sim/simgrid/replay.h": '#pragma once\n#include <simgrid/s4u.hpp>\n'
                            '#include "sim/flow/task_graph.h"\n',
    "sim/app/replay.h": '#pragma once\n#include "sim/simgrid/replay.h"\n',
    "sim/cli/CMakeLists.txt": "moesim_executable(moesim SOURCES main.cpp)\n",
    "sim/cli/main.cpp": '#include <iostream>\n#include "sim/app/replay.h"\n'
                        "int main() { std::cout << 1; std::exit(0); }\n",
    "build/generated.cpp": "int never_looked_at() { abort(); }\n",
}


def found(changes):
    with tempfile.TemporaryDirectory() as folder:
        root = pathlib.Path(folder)
        for name, text in {**CLEAN, **changes}.items():
            path = root / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
        return list(check_architecture.violations(root))


class Rules(unittest.TestCase):
    def assert_only(self, changes, beginning):
        lines = found(changes)
        self.assertEqual(len(lines), 1, lines)
        self.assertTrue(lines[0].startswith(beginning), lines[0])

    def test_a_tree_that_obeys(self):
        self.assertEqual(found({}), [])

    def test_comments_texts_and_members_are_no_violations(self):
        harmless = ('// std::exit(1), printf("x"), #include "models/operators/op.h"\n'
                    "/* abort();\n std::cout */\n"
                    'const char* text = "abort() \\" exit(1)";\n'
                    'const char* raw = R"x(printf("y"))x";\n'
                    "void f(Actor& a) { a.exit(); my_exit(1); snprintf(b, 1, c); }\n")
        self.assertEqual(found({"hardware/link.cpp": harmless}), [])

    def test_arrows_against_the_table(self):
        for name, target in (("sim/core/error.h", "hardware/device.h"),
                             ("hardware/link.cpp", "models/operators/op.h"),
                             ("hardware/link.cpp", "sim/flow/task_graph.h"),
                             ("models/operators/op.h", "hardware/device.h"),
                             ("sim/flow/task_graph.h", "sim/engine/step.h"),
                             ("sim/flow/task_graph.h", "hardware/device.h"),
                             ("sim/engine/step.h", "sim/simgrid/replay.h"),
                             ("sim/simgrid/replay.h", "sim/engine/step.h"),
                             ("sim/simgrid/replay.h", "hardware/device.h"),
                             ("sim/cli/main.cpp", "sim/engine/step.h")):
            folder = check_architecture.folder_of(name)
            self.assert_only({name: f'#include "{target}"\n'},
                             f'{name}:1: {folder} may not include "{target}"')

    def test_every_arrow_of_the_table_points_one_way(self):
        rank = ["sim/core", "sim/flow", "hardware", "models", "workloads", "placement",
                "sim/simgrid", "sim/engine", "sim/training", "sim/plan", "sim/reproduce", "calibrate",
                "calibrate/cpu", "sim/app",
                "sim/cli"]
        self.assertEqual(set(rank), set(check_architecture.MAY_INCLUDE))
        for folder, targets in check_architecture.MAY_INCLUDE.items():
            for target in targets:
                self.assertLess(rank.index(target), rank.index(folder))
        middle = {"sim/flow", "hardware", "models", "workloads", "placement"}
        for folder in middle:
            self.assertFalse(check_architecture.MAY_INCLUDE[folder] & middle)
        for room, user in (("sim/simgrid", "sim/app"), ("calibrate/cpu", "sim/app"),
                           ("sim/app", "sim/cli")):
            users = {f for f, t in check_architecture.MAY_INCLUDE.items() if room in t}
            self.assertEqual(users, {user})

    def test_paths_are_from_the_root(self):
        self.assert_only({"hardware/device.cpp": '#include "device.h"\n'},
                         'hardware/device.cpp:1: "device.h" is no tracked file')
        self.assert_only({"hardware/device.cpp": '\n# include "../sim/core/error.h"\n'},
                         'hardware/device.cpp:2: "../sim/core/error.h" is no tracked file')

    def test_sources_stand_in_a_folder_of_the_table(self):
        self.assert_only({"planner/plan.h": "#pragma once\n"}, "planner/plan.h:1: in no folder")

    def test_simgrid_stays_in_its_room(self):
        self.assert_only({"sim/flow/task_graph.h": "#include <simgrid/s4u.hpp>\n"},
                         "sim/flow/task_graph.h:1: <simgrid/s4u.hpp> belongs to sim/simgrid")
        self.assert_only({"tests/a.h": "#include <xbt/log.h>\n"}, "tests/a.h:1: <xbt/log.h>")

    def test_headers_take_the_cheap_json_header(self):
        self.assert_only({"models/operators/op.h": "#include <nlohmann/json.hpp>\n"},
                         "models/operators/op.h:1: <nlohmann/json.hpp> in a header")

    def test_libraries_do_not_print(self):
        self.assert_only({"hardware/link.cpp": "#include <iostream>\n"},
                         "hardware/link.cpp:1: <iostream>")
        for call in ('printf("x");', 'std::fprintf(stderr, "x");', "std::puts(a);", "std::cerr << 1;"):
            self.assert_only({"hardware/link.cpp": f"\nvoid f() {{ {call} }}\n"},
                             "hardware/link.cpp:2: prints")

    def test_libraries_do_not_end_the_process(self):
        for call in ("exit(1)", "std::exit(1)", "::exit(1)", "abort()", "std::abort()", "std::terminate()",
                     "_exit(0)", "std::quick_exit(1)"):
            self.assert_only({"hardware/link.cpp": f"void f() {{ {call}; }}\n"},
                             "hardware/link.cpp:1: ends the process")

    def test_libraries_draw_portably(self):
        for name in ("std::normal_distribution<> n", "std::random_device d", "int x = std::rand()",
                     "std::shuffle(a, b, c)"):
            self.assert_only({"hardware/link.cpp": f"void f() {{ {name}; }}\n"},
                             "hardware/link.cpp:1: not the same on every platform")

    def test_long_files(self):
        line = "int f();\n"
        self.assertEqual(found({"hardware/link.cpp": line * 400}), [])
        self.assert_only({"hardware/link.cpp": line * 401}, "hardware/link.cpp:401: 401 lines")
        self.assert_only({"notebooks/a.py": "\n" * 401}, "notebooks/a.py:401: 401 lines")

    def test_a_name_is_one_type(self):
        first = "namespace moesim {\nstruct Fit {\n};\n}  // namespace moesim\n"
        for same in (first, first.replace("struct", "class"), first.replace("Fit {", "Fit : Base {")):
            self.assert_only({"hardware/a.h": first, "models/b.h": same},
                             "models/b.h:2: moesim::Fit is defined in hardware/a.h as well")
        for other in (first.replace("moesim", "moesim::detail"), first.replace("Fit {", "Fit;"),
                      first.replace("Fit", "Other"),
                      "namespace moesim {\nnamespace {\nstruct Fit {\n};\n}  // namespace\n"
                      "}  // namespace moesim\n"):
            self.assertEqual(found({"hardware/a.h": first, "models/b.h": other}), [])

    def test_every_source_is_compiled(self):
        for name in ("hardware/lost.cpp", "hardware/sub/device.cpp", "models/op.cpp",
                     "tests/unit/core/lost_test.cpp"):
            self.assert_only({name: "int f();\n"}, f"{name}:1: never compiled")
        commented = "moesim_library(hardware SOURCES device.cpp # link.cpp\n)\n"
        self.assert_only({"hardware/CMakeLists.txt": commented}, "hardware/link.cpp:1: never compiled")
        for word in ("../support/help.cpp", "${PROJECT_SOURCE_DIR}/tests/support/help.cpp"):
            self.assertEqual(found({"tests/support/help.cpp": "int f();\n",
                                    "tests/cli/CMakeLists.txt": f"moesim_test(cli SOURCES {word})"}), [])

    def test_helpers_of_tests_may_stand_beside_them(self):
        test = {"tests/unit/core/helper.h": "#pragma once\n",
                "tests/unit/core/CMakeLists.txt": "moesim_test(core SOURCES a_test.cpp)\n",
                "tests/unit/core/a_test.cpp": '#include "helper.h"\n'}
        self.assertEqual(found(test), [])
        test["tests/unit/core/a_test.cpp"] = '#include "absent.h"\n'
        self.assert_only(test, 'tests/unit/core/a_test.cpp:1: "tests/unit/core/absent.h" is no')


if __name__ == "__main__":
    unittest.main()
