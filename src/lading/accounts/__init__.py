"""Users and how they prove who they are: passwords, access tokens, the token service of the registry."""
