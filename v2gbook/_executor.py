"""Work in many independent tasks: done here, or shared out by an executor.

Whatever runs many scenarios takes `executor=None` and leaves the sharing to `work_off` or
`in_order`.
"""

import contextlib
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Executor, Future, wait
from typing import Any, TypeAlias

from ._check import instance, short

Workers: TypeAlias = Executor | Callable[[], Executor] | None

_MOST_RUNNING = 32  # tasks that wait in an executor


def workers(executor: Any) -> Workers:
    """Return `executor` if it is an executor, a function (which must make one), or None."""
    if executor is None or isinstance(executor, Executor) or callable(executor):
        return executor
    raise TypeError(
        f"executor is {short(executor)}; it must be an Executor of concurrent.futures, or a "
        "function that makes one"
    )


def work_off(
    function: Callable, tasks: Sequence, executor: Workers, keep: Callable[[int, Any], object]
) -> None:
    """Call `keep(number, function(task))` for every task, as they come; they count from 0.

    After an error, what else is done is kept before the error goes on.
    """
    if executor is None:
        for number, task in enumerate(tasks):
            keep(number, function(task))
        return
    with _opened(executor) as pool:
        _work_in(pool, function, tasks, keep)


def in_order(function: Callable, tasks: Sequence, executor: Workers) -> list:
    """Return `function(task)` of every task, in the order of the tasks."""
    results: dict[int, Any] = {}
    work_off(function, tasks, executor, results.__setitem__)
    return [results[number] for number in range(len(tasks))]


def _opened(executor):
    """The executor that was given, which stays open, or a new one, which is closed afterwards."""
    if isinstance(executor, Executor):
        return contextlib.nullcontext(executor)
    return instance("what executor() makes", executor(), Executor)


def _work_in(pool, function, tasks, keep):
    """Do tasks in an executor, few at a time, and keep each result as it comes."""
    waiting = list(enumerate(tasks))[::-1]
    running: dict[Future, int] = {}
    try:
        while waiting or running:
            while waiting and len(running) < _MOST_RUNNING:
                number, task = waiting.pop()
                running[pool.submit(function, task)] = number
            for future in wait(running, return_when=FIRST_COMPLETED).done:
                keep(running[future], future.result())
                del running[future]
    finally:
        for future, number in running.items():
            if not future.cancel() and future.done() and not future.exception():
                keep(number, future.result())
