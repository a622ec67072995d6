"""Sources that give one name to two things are never compiled as one, and all are compiled once."""

import pathlib
import subprocess
import sys
import tempfile
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.dont_write_bytecode = True
sys.path.insert(0, str(ROOT / "cmake"))
import unity_groups  # noqa: E402  (needs the path)


def local(text, around="moesim"):
    return f"namespace {around} {{\nnamespace {{\n{text}\n}}  // namespace\n}}\n"


def together(one, other):
    first, second = unity_groups.groups([one, other], 10)
    return first == second


class Clashes(unittest.TestCase):
    def test_every_kind_of_name_clashes(self):
        for text in ("struct Row {\n  int a = 0;\n};", "enum class Row { a, b };",
                     "constexpr int Row = 3;", "const std::vector<int> Row{1, 2};",
                     "template <class T>\nT Row(const T& x) {\n  return x;\n}", "int Row(int x);",
                     "std::map<int, std::vector<int>> Row(std::span<const int> x) { return {}; }",
                     "const Kind Row[] = {{1, \"}\"}, {2, \"//\"}};", "using Row = double;"):
            self.assertFalse(together(local(text), local("double Row(double x) { return x; }")), text)

    def test_what_is_hidden_deeper_does_not(self):
        for text in ("int f() {\n  const int Row = 3;\n  return Row;\n}",
                     "struct A {\n  int Row() const { return 1; }\n};", "// int Row = 3;",
                     "const char* text = \"int Row = 3;\";"):
            self.assertTrue(together(local(text), local("double Row(double x) { return x; }")), text)

    def test_public_names_are_the_linkers_to_judge(self):
        public = "namespace moesim {\nint Row(int x) { return x; }\n}\n"
        self.assertTrue(together(public, public))
        static = "static int Row(int x) { return x; }\n"
        self.assertFalse(together(static, static))

    def test_the_same_alias_may_be_said_twice_in_one_place(self):
        alias = "using Json = nlohmann::json;"
        self.assertTrue(together(local(alias), local(alias)))
        self.assertFalse(together(local(alias), local("using Json = OrderedJson;")))
        self.assertFalse(together(local(alias), local(alias, around="moesim::detail")))

    def test_names_that_macros_make_do_not_clash(self):
        case = "TEST_CASE(\"a\") {\n  CHECK(true);\n}\n"
        self.assertTrue(together(case, case))


class Groups(unittest.TestCase):
    def test_groups_are_few_and_equally_full(self):
        texts = [local(f"int f{index}();") for index in range(12)]
        chosen = unity_groups.groups(texts, 5)
        self.assertEqual(sorted(chosen.count(group) for group in set(chosen)), [4, 4, 4])
        self.assertEqual(chosen, unity_groups.groups(texts, 5))

    def test_every_source_is_compiled_once_by_its_path_from_the_root(self):
        with tempfile.TemporaryDirectory() as folder:
            root = pathlib.Path(folder).resolve()
            for name, text in (("a", "int x;"), ("b", "int y;"), ("c", "int x;")):
                (root / f"{name}.cpp").write_text(local(text))
            command = [sys.executable, "-B", str(ROOT / "cmake/unity_groups.py"), "10", str(root),
                       f"{root}/all", "a.cpp", "b.cpp", "c.cpp"]
            printed = subprocess.run(command, cwd=root, check=True, capture_output=True, text=True)
            # a and c clash, so the second group holds c alone.
            self.assertEqual(printed.stdout.split(), [f"{root}/all_0.cpp", f"{root}/c.cpp"])
            self.assertEqual((root / "all_0.cpp").read_text(), '#include "a.cpp"\n#include "b.cpp"\n')


if __name__ == "__main__":
    unittest.main()
