"""Python source in the colours of the theme."""

from __future__ import annotations

from pygments.lexers.python import PythonLexer
from pygments.token import Comment, Keyword, Name, Number, Operator, String, _TokenType
from PySide6.QtGui import QSyntaxHighlighter, QTextCharFormat
from PySide6.QtWidgets import QPlainTextEdit, QWidget

from ui.theme import SMALL, look

#: The role of the theme that colours a kind of token; the first that fits counts.
_ROLES = (
    (Comment, "muted"), (String, "good"), (Number, "warn"), (Keyword, "accent"), (Operator.Word, "accent"),
    (Name.Function, "family:pooling"), (Name.Builtin, "family:normalisation"),
)  # fmt: skip


class _Highlighter(QSyntaxHighlighter):
    """Colours a document; the lexer sees it as a whole, so that texts of several lines are right."""

    def __init__(self, view: QPlainTextEdit):
        super().__init__(view.document())
        self._tokens: list[tuple[int, int, str]] = []

    def read(self, text: str) -> None:
        """Find the tokens of a text that is about to be shown."""
        self._tokens = []
        for start, kind, value in PythonLexer(stripnl=False, ensurenl=False).get_tokens_unprocessed(text):
            if role := _role(kind):
                self._tokens.append((start, start + len(value), role))

    def highlightBlock(self, text: str) -> None:
        begin = self.currentBlock().position()
        end = begin + len(text)
        for start, stop, role in self._tokens:
            if start < end and stop > begin:
                style = QTextCharFormat()
                style.setForeground(look().color(role))
                self.setFormat(max(start, begin) - begin, min(stop, end) - max(start, begin), style)


def _role(kind: _TokenType) -> str | None:
    return next((role for parent, role in _ROLES if kind in parent), None)


class SourceView(QPlainTextEdit):
    """Shows Python source, to be read and copied."""

    def __init__(self, parent: QWidget | None = None):
        super().__init__(parent)
        self.setReadOnly(True)
        self.setLineWrapMode(QPlainTextEdit.LineWrapMode.NoWrap)
        self.setAccessibleName("Textbook source")
        self._highlighter = _Highlighter(self)
        look().changed.connect(self._dress)
        self._dress()

    def show_source(self, text: str) -> None:
        """Show another source."""
        if text != self.toPlainText():
            self._highlighter.read(text)
            self.setPlainText(text)

    def _dress(self) -> None:
        self.setFont(look().font(SMALL, numbers=True))
        self._highlighter.rehighlight()
