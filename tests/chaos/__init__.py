"""Federations in which everything goes wrong, and an account of every update that does not trust the library.

Which file does what:

models.py      two tiny models, and what clients learn from them
ledger.py      what each client wanted, what the model holds of it, what the client owes: the promises, as a table
troubles.py    what goes wrong, chosen by a seeded generator
clock.py       clocks that jump
grid.py        an in-process grid of Flower's in which it goes wrong
checks.py      what has to hold after every round
federation.py  rounds, kills and resumes of the server
settings.py    the federations that are run
in_process.py  the command line

deployment.py  the same in processes of Flower: a SuperLink and SuperNodes; the command line
deployed_client.py, deployed_server.py  the app that they run
processes.py   processes that end with the one that started them
journal.py     what these write down, and the account that is made of it

client_memory.py  what a client's state holds
"""
