// SPDX-License-Identifier: GPL-3.0-or-later

internal import CloneFormat
internal import Synchronization

/// Collects problems from all threads, as many as a receipt lists, and counts the rest.
final class ProblemLog: Sendable {
    private let state = Mutex<(problems: [Problem], count: Int)>(([], 0))

    /// Adds a problem.
    func add(_ problem: Problem) {
        state.withLock { state in
            state.count += 1
            if state.problems.count < Receipt.maximumProblems { state.problems.append(problem) }
        }
    }

    /// What was collected, and how many there were.
    var collected: (problems: [Problem], count: Int) { state.withLock { $0 } }

    /// Number of problems so far.
    var count: Int { state.withLock { $0.count } }
}
