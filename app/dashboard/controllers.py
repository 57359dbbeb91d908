"""The controllers of the dashboard, wired together.

Importing this takes as long as all that the first frame needs, so it is imported after that.
"""

from __future__ import annotations

from pathlib import Path

from textual.app import App

from app.dashboard.actions import Export, SelectionActions
from app.dashboard.clusters import Contexts
from app.dashboard.commands import CommandPrompt
from app.dashboard.navigator import ContextSwitcher, Navigator
from app.dashboard.practice import PracticeRecorder
from app.dashboard.practice_path import TASK, Practice
from app.dashboard.refresh import RefreshLoop
from app.dashboard.runbooks import RunbookController
from screens.overview import OverviewScreen


class Controllers:
    """Everything that keys and commands reach."""

    def __init__(
        self,
        app: App[None],
        loop: RefreshLoop,
        root: OverviewScreen,
        *,
        contexts: Contexts | None,
        clipboard: str,
        config: Path | None,
        practice: Practice | None,
    ) -> None:
        """The parameters are those of the application."""
        self.navigator = navigator = Navigator(app, loop, root)
        self.actions = SelectionActions(app, loop, navigator)
        self.export = Export(app, loop, navigator, clipboard)
        self.runbooks = RunbookController(app, loop, navigator, self.export.save_text, config)
        self.contexts = ContextSwitcher(
            contexts, loop, navigator, self.runbooks.obstacle, self.runbooks.show_cluster
        )
        self.practice: PracticeRecorder | None = None
        if practice is not None:
            self.practice = PracticeRecorder(
                practice, app, loop, navigator, self.runbooks.library, self.runbooks.actor
            )
            navigator.handled.append(self.practice.event_handled)
            navigator.opened.append(self.practice.object_opened)
            self.runbooks.run_shown.append(self.practice.run_shown)
            self.runbooks.run_changed.append(self.practice.run_changed)
            navigator.flash(TASK)
        self.prompt = CommandPrompt(
            app=app,
            loop=loop,
            navigator=navigator,
            actions=self.actions,
            contexts=self.contexts,
            runbooks=self.runbooks,
            practice=self.practice,
        )
