"""A process of the server: `python -m lading.app worker FD` behind nginx, `python -m lading.app jobs`.

Each imports what it needs only: the job worker has no doors.
"""

import gc
import sys

gc.disable()  # until the start is over: what is imported stays, and looking for garbage in it takes a third of the time

match sys.argv[1:]:
    case ["jobs"]:
        from lading.app import job_worker

        job_worker.main()
    case ["worker", descriptor]:
        from lading.app import app_worker

        app_worker.main(int(descriptor))
    case _:
        sys.exit("this is started by `lading serve`")
