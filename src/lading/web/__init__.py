"""HTTP plumbing every door shares: who is asking, error translation, paging, files with and without nginx."""
