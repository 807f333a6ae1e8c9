"""Programs that are run on tests, and mathematics with a Python tool."""

from tests.serve.rules.asking import Case, call, gave, say, think

ADD = {"inputs": ["1 2\n", "4 5\n"], "outputs": ["3\n", "9\n"], "fn_name": None}
MAX = {"inputs": ["[1, 3]\n2", "[]\n7"], "outputs": ["3", "7"], "fn_name": "top"}
GOOD = "a, b = map(int, input().split())\nprint(a + b)"
TOP = "def top(a, b):\n    return max([*a, b])"
FLOATS = {"inputs": ["3"], "outputs": ["[0.3333333, 1]"], "fn_name": "parts"}
PAIR = {"inputs": ["1"], "outputs": ["[1, 2]"], "fn_name": "pair"}
DICT = {"inputs": ["1"], "outputs": ['{"1": [2]}'], "fn_name": "table"}
NUMBERS = {"inputs": [""], "outputs": ["1 2.50\nyes"], "fn_name": None}


def fenced(code):
    return f"```python\n{code}\n```"


def code(rule, tests, answer, reward, **more):
    also = more.pop("result", None)
    return Case(rule, {"unit_tests": tests, "difficulty": "easy", "dataset": "d"}, answer, reward,
                also={} if also is None else {"result": also}, **more)  # fmt: skip


QUICK = {"unit_test_timeout_secs": 3.0}
CODE_GEN = [
    code("all tests pass", ADD, fenced(GOOD), 1, result=[True, True]),
    code("the last two lines with backticks", ADD, fenced("print(0)") + "\n" + fenced(GOOD), 1),
    code("even if the last block is no program", ADD, fenced(GOOD) + "\n" + fenced("no!"), 0),
    code("fewer than two such lines are no code", ADD, f"```python\n{GOOD}", 0, result=[]),
    code("a program without a fence", ADD, GOOD, 0, result=[]),
    code("any word behind the backticks", ADD, f"```py3 x\n{GOOD}\n```", 1),
    code("blocks of several messages are one text", ADD, ["```\n", f"{GOOD}\n```"], 1),
    code("reasoning is not read", ADD, [think(fenced(GOOD)), "Done."], 0),
    code("the guard of a main program holds", ADD,
         fenced("def main():\n    print(sum(map(int, input().split())))\n"
                "if __name__ == '__main__':\n    main()"), 1),
    code("names of usual modules are there", ADD,
         fenced("print(reduce(add, map(int, stdin.read().split())))"), 1),
    code("a wrong output is -2", ADD, fenced("print(3)"), 0, result=[True, -2]),
    code("out of time is -3", ADD, fenced("while True: pass"), 0, result=[-3], settings=QUICK),
    code("an error is -4", ADD, fenced("print(1 // 0)"), 0, result=[-4]),
    code("a program that cannot be read is -4", ADD, fenced("print("), 0, result=[-4]),
    code("the first that fails ends it", ADD, fenced("print(9)"), 0, result=[-2]),
    code("space around lines does not count", NUMBERS, fenced("print('\\n1 2.50  \\n yes\\n\\n')"),
         1),
    code("lines of equal decimals", NUMBERS, fenced("print('1.0   2.5')\nprint('yes')"), 1),
    code("decimals must be equal", NUMBERS, fenced("print('1 2.5000001')\nprint('yes')"), 0),
    code("as many lines", NUMBERS, fenced("print('1 2.50')\nprint()\nprint('yes')"), 0),
    code("upper case is another text", NUMBERS, fenced("print('1 2.50')\nprint('Yes')"), 0),
    code("a function of the module", MAX, fenced(TOP), 1),
    code("a method of Solution", MAX,
         fenced("class Solution:\n    def top(self, a, b):\n        return max(a + [b])"), 1),
    code("what it prints does not count", MAX, fenced(f"print(5)\n{TOP}"), 1),
    code("a function of another name", MAX, fenced("def best(a, b): return 3"), 0, result=[-4]),
    code("it returns something else", MAX, fenced("def top(a, b): return b"), 0, result=[-2]),
    code("a tuple is a list", PAIR, fenced("def pair(n): return (n, n + 1)"), 1),
    code("equal as JSON", DICT, fenced("def table(n): return {n: (n + 1,)}"), 1),
    code("floats may differ a little", FLOATS, fenced("def parts(n): return [1 / n, 1]"), 1),
    code("but not much", FLOATS, fenced("def parts(n): return [0.334, 1]"), 0),
    code("think tags cost the reward", ADD, "<think>so</think>\n" + fenced(GOOD), 0),
    code("or give what the settings say", ADD, "so</think>\n" + fenced(GOOD), -1,
         settings={"reasoning_format_penalty": -1.0}),
    code("or nothing", ADD, "so</think>\n" + fenced(GOOD), 1,
         settings={"reasoning_format_penalty": None}),
]  # fmt: skip


def maths(rule, expected, answer, reward):
    return Case(rule, {"expected_result": expected, "id": 7}, answer, reward,
                tools=("execute_python", "end_session"))  # fmt: skip


def printed(code):
    """A call, and what the tool answered elsewhere."""
    text = {"success": True, "stdout": "\\boxed{7}\n", "stderr": "", "error_message": None,
            "result": None}  # fmt: skip
    return [call("execute_python", {"code": code}), gave(text)]


PRINT = "print('\\\\boxed{7}')"
MATH_WITH_CODE = [
    maths("a box", "7", r"So \boxed{7}.", 1),
    maths("another number", "7", r"\boxed{8}", 0),
    maths("no box", "7", "7", 0),
    maths("the last message with a box", "7", [r"\boxed{7}", "Done."], 1),
    maths("a later message wins", "7", [r"\boxed{7}", r"\boxed{8}"], 0),
    maths("braces are counted", r"\frac{1}{2}", r"\boxed{\frac{1}{2}}", 1),
    maths("an open box is none", "7", [r"\boxed{7}", r"\boxed{8"], 1),
    maths("dollars and spaces", "7", r"\boxed{$ 7 $}", 1),
    maths("brackets of LaTeX", r"\(7\)", r"\boxed{7}", 1),
    maths("text", "seven", r"\boxed{\text{seven}}", 1),
    maths("numbers within a millionth", "0.333333333", r"\boxed{0.33333334}", 1),
    maths("but no further", "0.333333333", r"\boxed{0.33334}", 0),
    maths("no other forms of numbers", "0.5", r"\boxed{\frac{1}{2}}", 0),
    maths("a box that the tool printed", "7", [*printed(PRINT), say("Done.")], 1),
    maths("the model's box comes first", "7", [*printed(PRINT), say(r"\boxed{8}")], 0),
    maths("reasoning is not read", "7", [think(r"\boxed{7}"), "Hm."], 0),
]

CASES = {"code_gen": CODE_GEN, "math_with_code": MATH_WITH_CODE}
