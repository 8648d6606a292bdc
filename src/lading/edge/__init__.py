"""nginx's file, and the supervisor of nginx, the app workers and the job worker."""
