// SPDX-License-Identifier: GPL-3.0-or-later

internal import TestSupport
internal import Testing

/// The lab's network and servers are what other tests take them for, seen by a Linux that is not ours.
@Suite(
    .serialized, .enabled(if: LabMachine.isSlowTier, "the slow tier is left out"),
    .enabled(if: LabMachine.isAvailable, "QEMU, busybox, cpio or the agent is missing"),
    .enabled(if: NFSServer.isAvailable, "ganesha, dnsmasq or root's privileges are missing"))
struct LabNetworkTests {
    private func machine(_ ports: LabNetwork.Port...) -> LabMachine {
        LabMachine(
            name: "network", devices: [], drives: [], diskCount: 0,
            arguments: ports.enumerated().flatMap { number, port in
                [
                    "-netdev", "\(port.rawValue),id=net\(number)", "-device",
                    "virtio-net-pci,netdev=net\(number),romfile=,mac=\(LiveMachine.macAddress(number))",
                ]
            })
    }

    /// udhcpc(8) calls the script with what it got.
    private static let lease = """
        printf '#!/bin/sh\\n[ "$1" = bound ] && ip address add "$ip/24" dev "$interface"\\n' >/bin/lease
        chmod 755 /bin/lease
        ip link set lo up
        ip link set eth0 up
        """

    /// Whatever was started in it: servers, and what they started.
    @Test func nothingOutlivesTheNetwork() throws {
        let mark = "lab-\(UInt64.random(in: 0...UInt64.max))"
        do {
            let network = try LabNetwork()
            try network.start("sh", ["-c", "setsid sleep 1000 & exec setsid -w sh -c 'sleep 1000; :' \(mark)", mark])
            #expect(try Tool.run("pgrep", ["-f", mark]).status == 0)
        }
        #expect(try Tool.run("pgrep", ["-f", mark]).output == "")
    }

    @Test func addressesAndBothVersionsOfNFS() throws {
        let run = try LabRun()
        let outcome = try machine(.plain).run(
            """
            \(Self.lease)
            modprobe -a nfs nfsv3 nfsv4
            udhcpc -q -n -i eth0 -s /bin/lease >&2
            for version in 3 4.0 4.2; do
                at=/mnt/$version
                mkdir $at
                options=addr=\(LabNetwork.address),nolock,proto=tcp,mountaddr=\(LabNetwork.address),mountproto=tcp
                mount -i -t nfs -o vers=$version,$options \(LabNetwork.address):\(NFSServer.exportPath) $at || exit 1
                echo "by $version" >$at/by-$version || exit 1
                umount $at
            done
            """, in: run.network)
        #expect(outcome.status == 0, "\(outcome.errors)\n\(outcome.console.suffix(2000))\n\(run.server.log)")
        let written = try run.network.output("sh", ["-c", "cat \(run.server.folder)/by-*"])
        #expect(written == "by 3\nby 4.0\nby 4.2\n")
        #expect(try run.network.lease(of: LiveMachine.macAddress())?.hasPrefix("10.99.0.1") == true)
    }

    /// Only what has the tag comes through, with the tag on it.
    @Test func theTrunkCarriesItsVirtualNetworkAlone() throws {
        let network = try LabNetwork()
        let outcome = try machine(.trunk).run(
            """
            modprobe 8021q
            ip link set eth0 up
            ip address add 10.99.20.9/24 dev eth0
            ping -c 1 -W 3 \(LabNetwork.vlanAddress) >/dev/null && exit 7
            ip address flush dev eth0
            vconfig add eth0 \(LabNetwork.vlan) >&2
            ip address add 10.99.20.9/24 dev eth0.\(LabNetwork.vlan)
            ip link set eth0.\(LabNetwork.vlan) up
            ping -c 3 -W 10 \(LabNetwork.vlanAddress)
            """, in: network)
        #expect(outcome.status == 0, "\(outcome.output)\(outcome.errors)\n\(outcome.console.suffix(2000))")
    }
}
