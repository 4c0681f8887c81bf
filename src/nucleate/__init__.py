"""nucleate: when, where and why a language model groups its states by task - and whether it uses them."""
__version__ = "0.1.0"
