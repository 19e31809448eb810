"""What is wrong with a document."""


class DocumentError(Exception):
    """A document that cannot be read.

    Args:
        message: One line, without the file's name, that ends with what to do.
    """
