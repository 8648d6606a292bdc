"""A process of the server: `python -m lading.app worker FD` behind nginx, `python -m lading.app jobs`."""

import gc

gc.disable()  # until the start is over: what is imported stays, and looking for garbage in it takes a third of the time

from lading.app.processes import main  # noqa: E402 — see above

main()
