"""Named attacks, each of which must fail to do harm: `python -m tests.attacks` mounts them and prints what happened.

One file each; its docstring says who the attacker is, what they try, and what is promised (SECURITY.md).
"""
