"""Which size a picture is trained at, and which part of it."""
