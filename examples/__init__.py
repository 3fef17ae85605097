"""Example nets, and the trained digits that `netdsl demo` reads. `index.json` lists every net."""
