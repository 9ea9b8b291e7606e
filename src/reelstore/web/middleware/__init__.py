"""What surrounds every route, as plain ASGI: nothing here ever holds a body, or a stream, in memory."""
