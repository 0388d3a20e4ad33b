"""The HTTP edge: routes over one owner, guarded by one security module, described by one OpenAPI document."""
