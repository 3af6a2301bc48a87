"""Writes the drawing in docs/architecture.md from the imports: python -m docs.architecture"""

import pathlib
import re

import grimp

PAGE = pathlib.Path(__file__).with_name("architecture.md")
_DRAWING = re.compile(r"```mermaid\n.*?```", re.DOTALL)


def imports():
    """{room or module of the top: those that it imports from}."""
    graph = grimp.build_graph("skt_tf")
    found = {child.split(".")[1]: set() for child in graph.find_children("skt_tf")}
    for module in graph.modules - {"skt_tf"}:
        for other in graph.find_modules_directly_imported_by(module) - {"skt_tf"}:
            found[module.split(".")[1]].add(other.split(".")[1])
    return {room: others - {room} for room, others in found.items()}


def drawing():
    """The imports as a Mermaid graph, without those that others imply."""
    found = imports()

    def reached(room):
        return found[room].union(*(reached(other) for other in found[room]))

    lines = ["flowchart TD"]
    for room in sorted(found, key=lambda room: (-len(reached(room)), room)):
        implied = set().union(*(reached(other) for other in found[room]))
        lines += [f"    {room} --> {other}" for other in sorted(found[room] - implied)]
    return "```mermaid\n" + "\n".join(lines) + "\n```"


def page():
    """docs/architecture.md with the drawing as it is now."""
    return _DRAWING.sub(lambda _: drawing(), PAGE.read_text(encoding="utf-8"))


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
