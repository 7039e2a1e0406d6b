// SPDX-License-Identifier: GPL-3.0-or-later

internal import CloneFormat

/// The words of the console's screen, in each language.
struct ConsoleWords: Sendable {
    var configuration: String
    var unattended: String
    var machine: String
    var serial: String
    var network: String
    var noAddress: String
    var link: String
    var noLink: String
    var noDisks: String
    var noFindings: String
    var targets: String
    var anyExport: String
    var next: String
    var plan: String
    var looking: String
    var shell: String
    private var moreBefore: String
    private var moreBehind: String

    /// Tells how many more there are.
    func more(_ count: Int) -> String { "\(moreBefore)\(count)\(moreBehind)" }

    init(_ language: JobLanguage) { self = language == .japanese ? Self.japanese : Self.english }

    private init(
        configuration: String, unattended: String, machine: String, serial: String, network: String,
        noAddress: String, link: String, noLink: String, noDisks: String, noFindings: String, targets: String,
        anyExport: String, next: String,
        plan: String, looking: String, shell: String, moreBefore: String, moreBehind: String
    ) {
        self.configuration = configuration
        self.unattended = unattended
        self.machine = machine
        self.serial = serial
        self.network = network
        self.noAddress = noAddress
        self.link = link
        self.noLink = noLink
        self.noDisks = noDisks
        self.noFindings = noFindings
        self.targets = targets
        self.anyExport = anyExport
        self.next = next
        self.plan = plan
        self.looking = looking
        self.shell = shell
        self.moreBefore = moreBefore
        self.moreBehind = moreBehind
    }

    private static let english = ConsoleWords(
        configuration: "configuration", unattended: "unattended run", machine: "this machine", serial: "serial",
        network: "network", noAddress: "no address yet", link: "link", noLink: "no link",
        noDisks: "NO DISK IS SEEN: coldclone probe tells of controllers without driver",
        noFindings: "no findings: everything that can be seen is in order", targets: "where a clone can go",
        anyExport: "any export that this machine may write to", next: "next",
        plan: "what would be read; writes nothing", looking: "coldclone: looking at the machine ...",
        shell: "root shell; exit shows this screen again", moreBefore: "", moreBehind: " more")

    private static let japanese = ConsoleWords(
        configuration: "設定", unattended: "無人実行", machine: "このマシン", serial: "シリアル", network: "ネットワーク",
        noAddress: "アドレス未取得", link: "リンクあり", noLink: "リンクなし",
        noDisks: "ディスクが見つかりません: coldclone probe でドライバーのないコントローラーを確認してください",
        noFindings: "所見なし: 見える範囲に問題はありません", targets: "クローンの保存先",
        anyExport: "このマシンから書き込める NFS エクスポート", next: "次のコマンド",
        plan: "読み取る内容を表示（書き込みなし）", looking: "coldclone: マシンを調べています ...",
        shell: "root シェル（exit でこの画面に戻ります）", moreBefore: "他 ", moreBehind: " 件")
}
