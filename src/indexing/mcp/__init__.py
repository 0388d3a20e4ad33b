"""The index as tools of the Model Context Protocol (modelcontextprotocol.io), over stdio and streamable HTTP."""
