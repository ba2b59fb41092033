"""Audio files: decoded in processes of their own, enhanced block by block, and compared."""
