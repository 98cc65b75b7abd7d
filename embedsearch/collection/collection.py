"""A collection: a folder with documents in it, kept in step, searched by meaning and by words."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

from embedsearch.answers.answer import Answer, AnswerConfig
from embedsearch.answers.asking import Asker
from embedsearch.answers.writing import Writing
from embedsearch.collection.access import Access
from embedsearch.collection.models import Compute, EncoderSlot, check_model
from embedsearch.collection.plan import SyncConfig
from embedsearch.collection.retrieval import By, SearchConfig
from embedsearch.collection.searching import Searcher
from embedsearch.collection.status import Status, read_status
from embedsearch.collection.writer import Writer, check_config
from embedsearch.errors import InputError
from embedsearch.generation import GenerationConfig, LanguageModel
from embedsearch.index import IndexConfig
from embedsearch.store import documents as store
from embedsearch.store.filters import Where
from embedsearch.text.chunking import ChunkingConfig
from embedsearch.types import SILENT, Document, Encoder, Hit, Mode, Progress, SyncReport

if TYPE_CHECKING:
    from embedsearch.encoder import EngineName


class Collection:
    """Documents, their chunks and vectors in one folder. Open one with `embedsearch.open`.

    Searching takes no lock and sees what is committed. Writing takes the collection's one writer
    lock for as long as the call lasts; LockedError at once when another has it. One
    instance may be shared by threads; a forked process opens its own.
    """

    def __init__(
        self,
        access: Access,
        *,
        model: str | Path | Encoder | None = None,
        compute: Compute | None = None,
        chunking: ChunkingConfig | None = None,
        index: IndexConfig | None = None,
    ) -> None:
        self._access = access
        self._encoder = EncoderSlot(model, compute)
        self._searcher = Searcher(access, self._encoder)
        self._asker = Asker(access, self._encoder, self._searcher)
        self._writer = Writer(access, self._encoder, chunking, index)

    @classmethod
    def open(
        cls,
        path: str | Path,
        *,
        model: str | Path | Encoder | None = None,
        engine: EngineName = "auto",
        device: str = "auto",
        chunking: ChunkingConfig | None = None,
        index: IndexConfig | None = None,
        read_only: bool = False,
        create: bool = True,
    ) -> Collection:
        """Opens the collection in the folder `path`, and makes it when it is new.

        Args:
            model: name, folder or hub id of the encoder, or an `Encoder`. None: the one that the
                collection was made with, the bundled all-MiniLM-L6-v2 for a new one.
            engine, device: what computes the vectors, and where; see `SentenceEncoder.load`. They
                do not belong to the collection: every engine makes the same vectors.
            chunking: how documents of a new collection are cut; that of one that exists is
                changed by `reindex`.
            index: what is asked of the index, such as another recall: stored and built by the next
                write. None: as it was asked before.
            read_only: for searching alone; works on a read-only disk. Nothing is made or mended.
            create: False to raise NotFoundError where there is no collection.

        Raises:
            NotFoundError, CorruptStoreError, NewerStoreError, StorageError, StoreError: what is
                there cannot be opened, and why.
            FingerprintError: the collection's vectors were made by another model than `model`.
            InputError: the collection's documents are cut in another way than `chunking` says, or
                there is no such engine or device, or an argument is of another kind.
        """
        compute = Compute(engine=engine, device=device)
        check_config(chunking, ChunkingConfig)
        check_config(index, IndexConfig)
        if model is not None:
            check_model(model)
        access = Access.open(path, read_only=read_only, create=create)
        collection = cls(access, model=model, compute=compute, chunking=chunking, index=index)
        try:
            with access.reading() as db:
                collection._encoder.check(db)
                collection._writer.chunking(db)
        except BaseException:
            access.close()
            raise
        return collection

    @property
    def folder(self) -> Path:
        return self._access.folder

    def close(self) -> None:
        """Lets go of the database. Calling it again does nothing."""
        self._access.close()

    def __enter__(self) -> Collection:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    # Writing

    def sync(
        self,
        paths: Sequence[str | Path],
        *,
        glob: str | None = None,
        prune: bool = True,
        dry_run: bool = False,
        config: SyncConfig | None = None,
        progress: Progress = SILENT,
    ) -> SyncReport:
        """Brings the collection in step with files and folders.

        Files whose size and time are as they were are not opened, texts that are as they were are
        not embedded again. Documents are committed batch by batch: an interrupted sync goes on
        where it stopped. What cannot be read is passed over and reported.

        Args:
            paths: files and folders. `config`, when given, is used in place of the other options,
                which are those of `SyncConfig`.

        Raises NotFoundError for a path that does not exist, before anything is done.
        """
        check_config(config, SyncConfig)
        config = config or SyncConfig(glob=glob, prune=prune, dry_run=dry_run)
        return self._writer.sync(paths, config, progress)

    def upsert(self, documents: Iterable[Document], *, progress: Progress = SILENT) -> SyncReport:
        """Puts documents in, each in place of the one with its id; unchanged ones cost nothing.

        An empty document is passed over and reported. Documents may come from a generator: memory
        stays flat, and what was committed stays when it fails.
        """
        return self._writer.upsert(documents, progress)

    def delete(self, document_ids: Iterable[str]) -> int:
        """Deletes documents; returns how many there were.

        A file that is still there comes back with the next sync of its folder. `vacuum` erases
        what was deleted from the disk.
        """
        return self._writer.delete(document_ids)

    def reindex(
        self,
        *,
        model: str | Path | Encoder | None = None,
        chunking: ChunkingConfig | None = None,
        keep_previous: bool = False,
        progress: Progress = SILENT,
    ) -> SyncReport:
        """Embeds every document anew, with another model or another way of cutting.

        The new chunks are built beside the old ones, which go on being searched; the switch is one
        transaction at the end. An interrupted run goes on where it stopped. `keep_previous` keeps
        the vectors that there were for a `rollback`.
        """
        return self._writer.reindex(model, chunking, progress, keep_previous=keep_previous)

    def rollback(self, *, progress: Progress = SILENT) -> SyncReport:
        """Goes back to the model before the last promotion; chunks that both models cut alike are
        not embedded again. Another rollback undoes this one.

        Raises NotFoundError where there was no promotion, or the model's folder is gone, and
        FingerprintError where the folder holds another model now.
        """
        return self._writer.rollback(progress)

    def vacuum(self) -> int:
        """Erases what was deleted from the disk, and returns the bytes that became free.

        Deleted text stands nowhere in the folder afterwards: the keyword index is merged, the
        database and the index file are written anew, the write-ahead log is emptied. Raises
        StoreError when a reader holds the log at that moment.
        """
        return self._writer.vacuum()

    # Searching

    def search(
        self,
        query: str,
        k: int = 10,
        *,
        mode: Mode = "hybrid",
        where: Where | None = None,
        by: By = "document",
    ) -> list[Hit]:
        """The best `k` hits for a query, best first.

        Args:
            mode: `semantic` compares meanings, `keyword` words (BM25), `hybrid` both.
            where: a filter on metadata, `path` and `id`; see `embedsearch.store.filters`.
            by: `document` for one hit a document, its best chunk; `chunk` for every chunk.

        Raises:
            InputError: an empty query, a `k`, mode or filter that cannot be used.
            FingerprintError: the model at hand is not the one that made the vectors.
        """
        return self.search_batch([query], k, mode=mode, where=where, by=by)[0]

    def search_batch(
        self,
        queries: Iterable[str],
        k: int = 10,
        *,
        mode: Mode = "hybrid",
        where: Where | None = None,
        by: By = "document",
    ) -> list[list[Hit]]:
        """`search` for several queries, which are encoded together."""
        return self._searcher.search(queries, SearchConfig(k=k, mode=mode, by=by), where)

    def similar(
        self,
        document_id: str,
        k: int = 10,
        *,
        where: Where | None = None,
    ) -> list[Hit]:
        """The documents nearest in meaning to one that is here: to the mean of its chunks' vectors.

        Needs no model. Raises NotFoundError when there is no such document.
        """
        return self._searcher.similar(document_id, SearchConfig(k=k, mode="semantic"), where)

    def ask(
        self,
        question: str,
        *,
        generator: LanguageModel | None = None,
        where: Where | None = None,
        config: AnswerConfig | None = None,
        generation: GenerationConfig | None = None,
        on_text: Callable[[str], None] | None = None,
    ) -> Answer:
        """Answers a question from what is here, and tells where each statement stands.

        Every citation is compared with its document, character by character.

        Args:
            generator: the language model that writes the answer from the passages found, and how it
                decodes: `generation`. None: the sentences that answer best are quoted.
            on_text: is given the generator's text in pieces as they come, before it is checked.

        Raises InputError and FingerprintError as `search` does; InputError when no passage fits
        into the generator; ServerError when its server gives nothing.
        """
        check_config(config, AnswerConfig)
        writing = _writing(generator, generation, on_text)
        return self._asker.ask([question], config or AnswerConfig(), where, writing)[0]

    def ask_batch(
        self,
        questions: Iterable[str],
        *,
        generator: LanguageModel | None = None,
        where: Where | None = None,
        config: AnswerConfig | None = None,
        generation: GenerationConfig | None = None,
    ) -> list[Answer]:
        """`ask` for several questions, which are encoded, and answered, together."""
        check_config(config, AnswerConfig)
        writing = _writing(generator, generation, None)
        return self._asker.ask(questions, config or AnswerConfig(), where, writing)

    # Looking things up

    def get(self, document_id: str) -> Document | None:
        """The document with this id, or None."""
        with self._access.reading() as db:
            stored = store.get_document(db, document_id)
        return stored.document if stored else None

    def __contains__(self, document_id: object) -> bool:
        return isinstance(document_id, str) and self.get(document_id) is not None

    def __len__(self) -> int:
        """Documents."""
        with self._access.reading() as db:
            return store.count(db, "documents")

    def __iter__(self) -> Iterator[Document]:
        """All documents in the order in which they came, one at a time in memory."""
        last = 0
        while True:
            with self._access.reading() as db:
                stored = next(store.iter_documents(db, after=last), None)
            if stored is None:
                return
            last = stored.row
            yield stored.document

    def status(self) -> Status:
        """What is in the collection; loads no model."""
        with self._access.reading() as db:
            return read_status(db, self.folder, self._encoder.engine(db))

    @property
    def encoder(self) -> Encoder:
        """The encoder of this collection, loaded when first asked for."""
        with self._access.reading() as db:
            return self._encoder.get(db)


def _writing(
    generator: LanguageModel | None,
    generation: GenerationConfig | None,
    on_text: Callable[[str], None] | None,
) -> Writing | None:
    if isinstance(generator, (str, Path)):
        raise InputError(
            f"generator must be a language model, such as CausalLM.load({str(generator)!r}), not "
            "its name"
        )
    if generator is None:
        if generation is not None or on_text is not None:
            raise InputError("generation and on_text need a generator: without one, text is quoted")
        return None
    return Writing(model=generator, config=generation or GenerationConfig(), on_text=on_text)
