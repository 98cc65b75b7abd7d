"""The error tree: every error that embedsearch raises on purpose, each also a builtin.

    EmbedSearchError
    ├── InputError            ValueError        a value, query or setting that cannot be used
    │   └── ReadError         ValueError        a file that cannot be turned into text
    │       └── EmptyFileError  ValueError      … because nothing is in it
    ├── NotFoundError         LookupError       a path, document, collection or model is not there
    ├── ModelError            ValueError        a model that cannot be loaded or used
    │   └── FingerprintError  ValueError        vectors of one model, a query with another
    ├── ServerError           ConnectionError   a language model's server fails
    ├── IndexFileError        ValueError        an index file that is damaged or of another kind
    ├── DependencyError       ImportError       an optional package that is needed and not installed
    ├── DeviceError           RuntimeError      a device that was asked for and is not there
    └── StoreError            RuntimeError      a collection that cannot be used as it is
        ├── CorruptStoreError RuntimeError      its database is damaged or is something else
        ├── NewerStoreError   RuntimeError      it was written by a newer embedsearch
        ├── LockedError       BlockingIOError   another process is writing to it
        └── StorageError      OSError           the disk is full, read-only or failing

A message names the offending value and the way out; the command line prints it as one line.
"""


class EmbedSearchError(Exception):
    """Base of every error raised on purpose."""


class InputError(EmbedSearchError, ValueError):
    """A value, query, document or setting that cannot be used."""


class ReadError(InputError):
    """A file that cannot be turned into text. The message is the reason alone, without the path."""


class EmptyFileError(ReadError):
    """A file with no text in it."""


class NotFoundError(EmbedSearchError, LookupError):
    """A path, document, collection or model that is not there."""


class ModelError(EmbedSearchError, ValueError):
    """A model that cannot be loaded or used."""


class FingerprintError(ModelError):
    """Vectors were made by one model and another is in use."""


class ServerError(EmbedSearchError, ConnectionError):
    """A language model's server that cannot be reached, refuses, or breaks off.

    A stream that breaks off has given its pieces before this is raised.
    """


class IndexFileError(EmbedSearchError, ValueError):
    """An index file that is damaged, cut short or of another kind."""


class DependencyError(EmbedSearchError, ImportError):
    """An optional package that is needed and not installed."""


class DeviceError(EmbedSearchError, RuntimeError):
    """A device that was asked for and is not there."""


class StoreError(EmbedSearchError, RuntimeError):
    """A collection that cannot be used as it is."""


class CorruptStoreError(StoreError):
    """A collection's database is damaged or is not one of ours."""


class NewerStoreError(StoreError):
    """A collection was written by a newer version of embedsearch."""


class LockedError(StoreError, BlockingIOError):
    """Another process, or another thread of this one, is writing to the collection."""


class StorageError(StoreError, OSError):
    """The disk is full, read-only or failing."""
