"""What is asked over HTTP: files, variants, health, the page, the OpenAPI description, and what connections may do."""
