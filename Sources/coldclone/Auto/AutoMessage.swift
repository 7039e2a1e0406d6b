// SPDX-License-Identifier: GPL-3.0-or-later

internal import CloneFormat
internal import Console

/// What an unattended run tells, in each language.
///
/// Names, paths and errors of others are put in as they are.
enum AutoMessage: Sendable {
    case started(version: String, target: String)
    case waiting(what: String, why: String, seconds: Int)
    case probing
    case probed(disks: Int, controllers: Int, findings: Int)
    case finding(Finding)
    case goesOnByForce(String)
    case askingReceiver(String)
    case receiverAnswers(String)
    case jobFound(String)
    case loggingIn(String)
    case sources([String])
    case mounting(String)
    case mounted(target: String, at: String, freeInBytes: Int64)
    case lookingForUnused
    case planned(toRead: Int64, ofAll: Int64, worstCase: Int64, free: Int64)
    case benched(source: Double?, target: Double?, seconds: Double?)
    case capturing(disks: Int, folder: String)
    case resuming(String)
    case notResumed(folder: String, why: String)
    case againstBase(String)
    case noBase(why: String)
    case unfinished(what: String, seconds: Double)
    case progress(String)
    case targetFailed(why: String, attempt: Int, of: Int)
    case captured(folder: String, state: String, read: Int64, seconds: Double)
    case unmounted(String)
    case stayedMounted(String)
    case waitingForReceipt(clone: String)
    case verdict(String)
    case ending(String)

    /// Whether it is told again and again: a clone's events are no log of percentages.
    var isRepeated: Bool {
        switch self {
        case .progress, .unfinished: true
        default: false
        }
    }

    /// A stable word for programs.
    var step: String {
        switch self {
        case .started: "started"
        case .waiting: "waiting"
        case .probing: "probing"
        case .probed: "probed"
        case .finding: "finding"
        case .goesOnByForce: "forced"
        case .askingReceiver: "asking_receiver"
        case .receiverAnswers: "receiver_answers"
        case .jobFound: "job_found"
        case .loggingIn: "logging_in"
        case .sources: "sources"
        case .mounting: "mounting"
        case .mounted: "mounted"
        case .lookingForUnused: "looking_for_unused"
        case .planned: "planned"
        case .benched: "benched"
        case .capturing: "capturing"
        case .resuming: "resuming"
        case .notResumed: "not_resumed"
        case .againstBase: "against_base"
        case .noBase: "no_base"
        case .unfinished: "unfinished"
        case .progress: "progress"
        case .targetFailed: "target_failed"
        case .captured: "captured"
        case .unmounted: "unmounted"
        case .stayedMounted: "stayed_mounted"
        case .waitingForReceipt: "waiting_for_receipt"
        case .verdict: "verdict"
        case .ending: "ending"
        }
    }

    func text(_ language: JobLanguage) -> String {
        switch language {
        case .english: english
        case .japanese: japanese
        }
    }

    static func size(_ bytes: Int64) -> String { HumanBytes.format(bytes) }
    static func time(_ seconds: Double?) -> String { HumanDuration.format(seconds: seconds) }
}

extension AutoMessage {
    private var english: String {
        switch self {
        case .started(let version, let target): "coldclone \(version), target \(target)"
        case .waiting(let what, let why, let seconds): "waiting for \(what), \(seconds) s at most: \(why)"
        case .probing: "looking at the machine"
        case .probed(let disks, let controllers, let findings):
            "found \(disks) disks, \(controllers) storage controllers, \(findings) findings"
        case .finding(let finding): "\(finding.severity.rawValue): \(finding.subject): \(finding.what)"
        case .goesOnByForce(let what): "going on by force: \(what)"
        case .askingReceiver(let url): "asking the receiver \(url)"
        case .receiverAnswers(let what): "the receiver answers: \(what)"
        case .jobFound(let place): "settings of the job \(place)"
        case .loggingIn(let portal): "logging in to iSCSI: \(portal)"
        case .sources(let names): "disks to capture: \(names.joined(separator: ", "))"
        case .mounting(let target): "mounting \(target)"
        case .mounted(let target, let folder, let free):
            "the target \(target) is at \(folder), \(Self.size(free)) free"
        case .lookingForUnused: "looking for unused space"
        case .planned(let read, let all, let worst, let free):
            "to read: \(Self.size(read)) of \(Self.size(all)); the clone takes at most \(Self.size(worst)) of "
                + "\(Self.size(free)) free"
        case .benched(let source, let target, let seconds):
            "measured: source \(HumanBytes.rate(source)), target \(HumanBytes.rate(target)); the copy takes about "
                + Self.time(seconds)
        case .capturing(let disks, let folder): "capturing \(disks) disks to \(folder)"
        case .resuming(let folder): "going on with the interrupted clone \(folder)"
        case .notResumed(let folder, let why): "not going on with \(folder): \(why)"
        case .againstBase(let clone): "storing what changed since \(clone)"
        case .noBase(let why): "capturing everything: \(why)"
        case .unfinished(let what, let seconds):
            "\(what): not done after \(Self.time(seconds)); what does not answer is waited for"
        case .progress(let line): line
        case .targetFailed(let why, let attempt, let of):
            "the target failed, trying again (\(attempt) of \(of)): \(why)"
        case .captured(let folder, let state, let read, let seconds):
            "captured and durable: \(folder), \(state), \(Self.size(read)) read in \(Self.time(seconds))"
        case .unmounted(let target): "unmounted \(target)"
        case .stayedMounted(let why): "the target could not be unmounted: \(why)"
        case .waitingForReceipt(let clone): "waiting for the receiver to verify \(clone)"
        case .verdict(let verdict): "the receiver's verdict: \(verdict)"
        case .ending(let what): "now: \(what)"
        }
    }
}

extension AutoMessage {
    private var japanese: String {
        switch self {
        case .started(let version, let target): "coldclone \(version)、保存先 \(target)"
        case .waiting(let what, let why, let seconds): "\(what) を待っています（最長 \(seconds) 秒）: \(why)"
        case .probing: "マシンを調べています"
        case .probed(let disks, let controllers, let findings):
            "ディスク \(disks) 台、ストレージコントローラー \(controllers) 台、所見 \(findings) 件"
        case .finding(let finding): "\(finding.severity.rawValue): \(finding.subject): \(finding.what)"
        case .goesOnByForce(let what): "force により続行します: \(what)"
        case .askingReceiver(let url): "レシーバー \(url) に問い合わせています"
        case .receiverAnswers(let what): "レシーバーの応答: \(what)"
        case .jobFound(let place): "ジョブ: \(place)"
        case .loggingIn(let portal): "iSCSI にログインしています: \(portal)"
        case .sources(let names): "取得するディスク: \(names.joined(separator: ", "))"
        case .mounting(let target): "\(target) をマウントしています"
        case .mounted(let target, let folder, let free):
            "保存先 \(target) を \(folder) にマウントしました（空き \(Self.size(free))）"
        case .lookingForUnused: "未使用領域を調べています"
        case .planned(let read, let all, let worst, let free):
            "読み取り \(Self.size(read)) / 全体 \(Self.size(all))、必要な容量は最大 \(Self.size(worst))、空き \(Self.size(free))"
        case .benched(let source, let target, let seconds):
            "測定: 読み取り \(HumanBytes.rate(source))、書き込み \(HumanBytes.rate(target))、所要時間 約 "
                + Self.time(seconds)
        case .capturing(let disks, let folder): "ディスク \(disks) 台を \(folder) に取得しています"
        case .resuming(let folder): "中断したクローン \(folder) を再開します"
        case .notResumed(let folder, let why): "\(folder) は再開しません: \(why)"
        case .againstBase(let clone): "\(clone) からの変更分のみを保存します"
        case .noBase(let why): "全体を取得します: \(why)"
        case .unfinished(let what, let seconds): "\(what): \(Self.time(seconds)) 経過、完了していません。応答を待っています"
        case .progress(let line): line
        case .targetFailed(let why, let attempt, let of): "保存先の障害、再試行します (\(attempt)/\(of)): \(why)"
        case .captured(let folder, let state, let read, let seconds):
            "取得完了、書き込み確定: \(folder)、\(state)、\(Self.size(read)) を \(Self.time(seconds)) で読み取り"
        case .unmounted(let target): "\(target) をアンマウントしました"
        case .stayedMounted(let why): "保存先をアンマウントできません: \(why)"
        case .waitingForReceipt(let clone): "レシーバーによる \(clone) の検証を待っています"
        case .verdict(let verdict): "レシーバーの判定: \(verdict)"
        case .ending(let what): "次の動作: \(what)"
        }
    }
}
