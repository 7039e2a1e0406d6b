// SPDX-License-Identifier: GPL-3.0-or-later

internal import BlockIO
internal import CloneFormat
internal import FileSystems
internal import Probing
internal import TestSupport
internal import Testing

/// Trees of files as installers and administrators leave them.
@Suite struct SystemsLinuxTests {
    private static func volume(
        _ device: String, uuid: String? = nil, label: String? = nil, type: String = "ext4", group: String? = nil,
        logical: String? = nil
    ) -> KnownVolume {
        var volume = KnownVolume(device: device)
        (volume.uuid, volume.label, volume.type) = (uuid, label, type)
        (volume.volumeGroup, volume.logicalVolume) = (group, logical)
        return volume
    }

    private func look(
        _ files: [String: String], volumes: [KnownVolume] = [], open: [String: MemoryTree] = [:],
        others: [MemoryTree] = [], kind: FileSystemKind = .ext4, state: FileSystemState = .clean
    ) -> InstalledSystem? {
        InstalledSystemReader.look(
            at: MemoryTree(files, kind: kind, state: state), device: "/dev/sda1", volumes: volumes,
            open: { open[$0] }, others: others)
    }

    /// One line of what a file says.
    private func line(_ file: NetworkFile) -> String {
        let path = file.path.split(separator: "/").last ?? ""
        let fields = [
            file.interface, file.macAddress, file.addresses.joined(separator: " "),
            file.gateways.isEmpty ? nil : "via " + file.gateways.joined(separator: " "),
            file.nameServers.isEmpty ? nil : "dns " + file.nameServers.joined(separator: " "),
            file.bond.map { "bond " + $0 }, file.bondMode.map { "mode " + $0 }, file.bridge.map { "bridge " + $0 },
            file.vlan.map { "vlan \($0)" }, file.parent.map { "on " + $0 },
        ]
        return "\(path): " + fields.compactMap { $0 }.filter { !$0.isEmpty }.joined(separator: ", ")
    }

    @Test func debian12() throws {
        let system = try #require(
            look(
                [
                    "/etc/os-release": "-> ../usr/lib/os-release",
                    "/usr/lib/os-release": """
                    PRETTY_NAME="Debian GNU/Linux 12 (bookworm)"
                    NAME="Debian GNU/Linux"
                    VERSION_ID="12"
                    ID=debian
                    """,
                    "/etc/hostname": "web01\n",
                    "/etc/fstab": """
                    # <file system> <mount point>   <type>  <options>       <dump>  <pass>
                    UUID=6a29f1e8-1111-4444-8888-0123456789ab /  ext4 errors=remount-ro 0 1
                    UUID=ABCD-1234  /boot/efi vfat umask=0077 0 1
                    /dev/mapper/vg--data-srv--www /srv/my\\040www ext4 defaults 0 2
                    LABEL="old\\040disk" /old ext4 noauto 0 0
                    /dev/vg-data/gone /gone ext4 defaults 0 2
                    filer:/export/home /home nfs rw,hard 0 0
                    //win/share /mnt/share cifs username=u,password=Geheim1,_netdev 0 0
                    https://me:Geheim2@dav.example/x /mnt/dav davfs user 0 0
                    UUID=99999999-0000-0000-0000-000000000000 /san ext4 _netdev 0 0
                    /dev/sr0 /media/cdrom0 udf,iso9660 user,noauto 0 0
                    tmpfs /tmp tmpfs defaults 0 0
                    /srv/a /srv/b none bind 0 0
                    /swapfile none swap sw 0 0
                    """,
                    "/etc/systemd/system/data.mount": "[Mount]\nWhat=filer:/data\nWhere=/data\nType=nfs4\n",
                    "/etc/network/interfaces": """
                    source /etc/network/interfaces.d/*
                    auto lo eno1 bond0
                    iface lo inet loopback
                    allow-hotplug eno1
                    iface eno1 inet static
                        address 192.0.2.5
                        netmask 255.255.255.192
                        gateway 192.0.2.1
                        dns-nameservers 192.0.2.53 192.0.2.54
                        hwaddress ether 52:54:00:AA:BB:CC
                    iface eno1 inet6 static
                        address 2001:db8::5/64
                    iface bond0 inet dhcp
                        bond-slaves eno2 eno3
                        bond_mode 802.3ad
                    iface eno2 inet manual
                    iface eno3 inet manual
                    """,
                    "/etc/network/interfaces.d/vlan":
                        "auto bond0.42\niface bond0.42 inet static\n  address 10.0.0.2/24\n",
                    "/etc/resolv.conf": "search example\nnameserver 192.0.2.53\n",
                    "/boot/vmlinuz-6.1.0-13-amd64": "", "/boot/initrd.img-6.1.0-13-amd64": "",
                    "/boot/grub/grub.cfg": "",
                    "/etc/iscsi/initiatorname.iscsi": "## comment\nInitiatorName=iqn.1993-08.org.debian:01:abcdef\n",
                    "/etc/iscsi/nodes/iqn.2001-04.com.example:disk1/192.0.2.9,3260,1/default": """
                    # BEGIN RECORD 2.1.8
                    node.name = iqn.2001-04.com.example:disk1
                    node.tpgt = 1
                    node.startup = automatic
                    node.session.auth.authmethod = CHAP
                    node.session.auth.username = chapuser
                    node.session.auth.password = Geheim3
                    node.conn[0].address = 192.0.2.9
                    node.conn[0].port = 3260
                    """,
                    "/etc/iscsi/send_targets/192.0.2.9,3260/iqn.2001-04.com.example:disk1,192.0.2.9,3260,1,default":
                        "x",
                    "/etc/iscsi/send_targets/192.0.2.9,3260/iqn.2001-04.com.example:d2,2001:db8::9,3260,1,default": "x",
                    "/etc/iscsi/send_targets/192.0.2.9,3260/st_config": "discovery.sendtargets.auth.password = Geheim4",
                ],
                volumes: [
                    Self.volume("/dev/sda1", uuid: "6A29F1E8-1111-4444-8888-0123456789AB"),
                    Self.volume("/dev/sda15", uuid: "ABCD-1234", type: "vfat"),
                    Self.volume("vg-data/srv-www", group: "vg-data", logical: "srv-www"),
                    Self.volume("/dev/sdb1", label: "old disk"),
                ],
                open: ["/dev/sda15": MemoryTree(["/EFI/debian/grubx64.efi": ""], kind: .vfat)]))
        #expect(system.family == "linux" && system.device == "/dev/sda1" && system.state == "clean")
        #expect(system.prettyName == "Debian GNU/Linux 12 (bookworm)")
        #expect(system.id == "debian" && system.versionId == "12" && system.hostname == "web01")
        #expect(
            system.mounts.map { "\($0.source) \($0.mountPoint) \($0.resolution) \($0.device ?? "-")" } == [
                "UUID=6a29f1e8-1111-4444-8888-0123456789ab / local /dev/sda1",
                "UUID=ABCD-1234 /boot/efi local /dev/sda15",
                "/dev/mapper/vg--data-srv--www /srv/my www local vg-data/srv-www",
                "LABEL=\"old disk\" /old local /dev/sdb1",
                "/dev/vg-data/gone /gone unresolved -", "filer:/export/home /home network -",
                "//win/share /mnt/share network -", "https://me@dav.example/x /mnt/dav network -",
                "UUID=99999999-0000-0000-0000-000000000000 /san network -",
                "/dev/sr0 /media/cdrom0 unresolved -", "tmpfs /tmp pseudo -", "/srv/a /srv/b pseudo -",
                "/swapfile none swap -", "filer:/data /data network -",
            ])
        #expect(
            system.networkFiles.map(line) == [
                "interfaces: bond0, dhcp, mode 802.3ad",
                "interfaces: eno1, 52:54:00:aa:bb:cc, 192.0.2.5/26 2001:db8::5/64, via 192.0.2.1, dns 192.0.2.53 192.0.2.54",
                "interfaces: eno2, bond bond0", "interfaces: eno3, bond bond0",
                "vlan: bond0.42, 10.0.0.2/24, vlan 42, on bond0", "resolv.conf: dns 192.0.2.53",
            ])
        #expect(system.bootloaders == ["grub2"] && system.kernels == ["vmlinuz-6.1.0-13-amd64"])
        #expect(system.iscsiInitiators == ["iqn.1993-08.org.debian:01:abcdef"])
        #expect(
            system.iscsiTargets == [
                ISCSITarget(name: "iqn.2001-04.com.example:d2", portal: "[2001:db8::9]:3260"),
                ISCSITarget(
                    name: "iqn.2001-04.com.example:disk1", portal: "192.0.2.9:3260", startup: "automatic",
                    user: "chapuser"),
            ])
        #expect(!"\(system)".contains("Geheim"))
    }

    @Test func rhel7WithBondsAndVLANs() throws {
        let system = try #require(
            look(
                [
                    "/etc/os-release":
                        "NAME=\"Red Hat Enterprise Linux Server\"\nVERSION_ID=\"7.9\"\nID=\"rhel\"\nPRETTY_NAME='RHEL 7.9'\n",
                    "/etc/redhat-release": "Red Hat Enterprise Linux Server release 7.9 (Maipo)\n",
                    "/etc/sysconfig/network": "NETWORKING=yes\nHOSTNAME=db.example\nGATEWAY=192.0.2.254\n",
                    "/etc/fstab":
                        "/dev/mapper/rhel-root / xfs defaults 0 0\nUUID=b007 /boot xfs defaults 0 0\n/dev/mapper/rhel-swap swap swap defaults 0 0\n",
                    "/etc/sysconfig/network-scripts/ifcfg-lo": "DEVICE=lo\nIPADDR=127.0.0.1\n",
                    "/etc/sysconfig/network-scripts/ifcfg-em1":
                        "DEVICE=em1\nHWADDR=00:11:22:33:44:55\nMASTER=bond0\nSLAVE=yes\nBOOTPROTO=none # by hand\n",
                    "/etc/sysconfig/network-scripts/ifcfg-bond0":
                        "DEVICE=bond0\nBONDING_OPTS=\"mode=1 miimon=100\"\nBOOTPROTO=none\n",
                    "/etc/sysconfig/network-scripts/ifcfg-bond0.7":
                        "DEVICE=bond0.7\nVLAN=yes\nIPADDR=192.0.2.7\nPREFIX=24\nIPADDR1=192.0.2.8\nNETMASK1=255.255.255.0\nGATEWAY=192.0.2.1\nDNS1=192.0.2.53\nDNS2=192.0.2.54\nIPV6ADDR=2001:db8::7/64\n",
                    "/etc/sysconfig/network-scripts/ifcfg-em1.bak": "DEVICE=em1\nIPADDR=1.2.3.4\n",
                    "/etc/sysconfig/network-scripts/keys-em1": "KEY=Geheim",
                    "/etc/udev/rules.d/70-persistent-net.rules":
                        "SUBSYSTEM==\"net\", ACTION==\"add\", ATTR{address}==\"00:11:22:33:44:55\", NAME=\"em1\"\n",
                    "/var/lib/iscsi/nodes/iqn.2001-04.com.example:old/192.0.2.9,3260":
                        "node.name = iqn.2001-04.com.example:old\nnode.conn[0].address = 192.0.2.9\nnode.conn[0].startup = manual\n",
                ],
                volumes: [
                    Self.volume("/dev/rhel/root", type: "xfs", group: "rhel", logical: "root"),
                    Self.volume("/dev/rhel/swap", type: "swsuspend", group: "rhel", logical: "swap"),
                    Self.volume("/dev/sda2", uuid: "B007", type: "xfs"),
                ],
                open: [
                    "/dev/sda2": MemoryTree(
                        ["/vmlinuz-3.10.0-1160.el7.x86_64": "", "/grub2/grub.cfg": ""], kind: .xfs)
                ], kind: .xfs))
        #expect(system.prettyName == "RHEL 7.9" && system.versionId == "7.9" && system.hostname == "db.example")
        // The swap space holds a sleeping system's memory.
        #expect(system.state == "hibernated")
        #expect(system.mounts.map(\.device) == ["/dev/rhel/root", "/dev/sda2", "/dev/rhel/swap"])
        #expect(system.mounts.map(\.resolution) == ["local", "local", "swap"])
        #expect(system.kernels == ["vmlinuz-3.10.0-1160.el7.x86_64"] && system.bootloaders == ["grub2"])
        #expect(
            system.networkFiles.map(line) == [
                "ifcfg-bond0: bond0, mode 1",
                "ifcfg-bond0.7: bond0.7, 192.0.2.7/24 192.0.2.8/24 2001:db8::7/64, via 192.0.2.1, dns 192.0.2.53 192.0.2.54, vlan 7, on bond0",
                "ifcfg-em1: em1, 00:11:22:33:44:55, bond bond0", "network: via 192.0.2.254",
                "70-persistent-net.rules: em1, 00:11:22:33:44:55",
            ])
        #expect(system.iscsiTargets.map(\.portal) == ["192.0.2.9:3260"])
        #expect(system.iscsiTargets.map(\.startup) == ["manual"])
    }

    @Test func rhel8ByNetworkManager() throws {
        let folder = "/etc/NetworkManager/system-connections"
        let system = try #require(
            look([
                "/etc/redhat-release": "Red Hat Enterprise Linux release 8.8 (Ootpa)\n",
                "/etc/fstab": "",
                "\(folder)/eno1.nmconnection": """
                [connection]
                id=eno1
                uuid=11111111-2222
                type=ethernet
                interface-name=eno1
                [ethernet]
                mac-address=52:54:00:12:34:56
                [ipv4]
                method=manual
                address1=192.0.2.10/24,192.0.2.1
                address2=192.0.2.11/24
                dns=192.0.2.53;192.0.2.54;
                [802-1x]
                password=Geheim
                """,
                "\(folder)/team":
                    "[connection]\ntype=bond\nuuid=aaaa\ninterface-name=bond0\n[bond]\nmode=active-backup\n[ipv4]\nmethod=auto\n",
                "\(folder)/port": "[connection]\ntype=ethernet\ninterface-name=eno2\nmaster=aaaa\nslave-type=bond\n",
                "\(folder)/vlan.nmconnection":
                    "[connection]\ntype=vlan\ninterface-name=v5\n[vlan]\nid=5\nparent=aaaa\n[ipv6]\naddress1=2001:db8::a/64\ngateway=2001:db8::1\n",
            ]))
        #expect(system.id == "rhel" && system.versionId == "8.8")
        #expect(
            system.networkFiles.map(line) == [
                "eno1.nmconnection: eno1, 52:54:00:12:34:56, 192.0.2.10/24 192.0.2.11/24, via 192.0.2.1, dns 192.0.2.53 192.0.2.54",
                "port: eno2, bond bond0", "team: bond0, dhcp, mode active-backup",
                "vlan.nmconnection: v5, 2001:db8::a/64, via 2001:db8::1, vlan 5, on bond0",
            ])
        #expect(!"\(system)".contains("Geheim"))
    }

    @Test func sles11() throws {
        let system = try #require(
            look([
                "/etc/SuSE-release": "SUSE Linux Enterprise Server 11 (x86_64)\nVERSION = 11\nPATCHLEVEL = 4\n",
                "/etc/HOSTNAME": "sap1.example\n",
                "/etc/sysconfig/network/ifcfg-eth0": "BOOTPROTO='none'\nLLADDR=''\n",
                "/etc/sysconfig/network/ifcfg-bond0":
                    "BONDING_MASTER='yes'\nBONDING_SLAVE0='eth0'\nBONDING_SLAVE_1='eth1'\nBONDING_MODULE_OPTS='mode=802.3ad'\nIPADDR='192.0.2.20/24'\nIPADDR_2='192.0.2.21'\nPREFIXLEN_2='25'\nBOOTPROTO='static'\n",
                "/etc/sysconfig/network/ifcfg-vlan9": "ETHERDEVICE='bond0'\nBOOTPROTO='dhcp'\n",
                "/etc/sysconfig/network/routes": "default 192.0.2.1 - -\n10.0.0.0/8 192.0.2.2 - -\n",
                "/etc/sysconfig/network/config": "NETCONFIG_DNS_STATIC_SERVERS=\"192.0.2.53 192.0.2.54\"\n",
                "/boot/grub/menu.lst": "", "/boot/vmlinuz-3.0.101-108-default": "", "/etc/lilo.conf": "",
            ]))
        #expect(system.id == "sles" && system.versionId == "11.4" && system.hostname == "sap1.example")
        #expect(system.prettyName == "SUSE Linux Enterprise Server 11 (x86_64)")
        #expect(
            system.networkFiles.map(line) == [
                "ifcfg-bond0: bond0, 192.0.2.20/24 192.0.2.21/25, mode 802.3ad", "ifcfg-eth0: eth0, bond bond0",
                "ifcfg-vlan9: vlan9, dhcp, vlan 9, on bond0", "routes: via 192.0.2.1",
                "config: dns 192.0.2.53 192.0.2.54",
            ])
        #expect(system.bootloaders == ["grub", "lilo"])
    }

    @Test func ubuntuOnASubvolumeWithNetplan() throws {
        let system = try #require(
            look(
                [
                    "/@/etc/os-release": "PRETTY_NAME=\"Ubuntu 22.04.3 LTS\"\nID=ubuntu\nVERSION_ID=\"22.04\"\n",
                    "/@/etc/netplan/50-cloud-init.yaml": """
                    # by hand
                    network:
                        version: 2
                        ethernets:
                            eth0:
                                match: {macaddress: "52:54:00:AA:00:01", name: 'en*'}
                                set-name: wan0
                                dhcp4: false
                                addresses: [192.0.2.30/24, "2001:db8::30/64"]
                                gateway4: 192.0.2.1  # old
                                nameservers:
                                    addresses: [192.0.2.53]
                            eno2: {}
                            eno3:
                                dhcp4: yes
                        bonds:
                            bond0:
                                interfaces: [eth0, eno2]
                                parameters:
                                    mode: active-backup
                                addresses:
                                - 10.0.0.30/8
                                - 10.9.0.30/16:
                                      label: "bond0:a"
                                routes:
                                - to: default
                                  via: 10.0.0.1
                                - to: 172.16.0.0/12
                                  via: 10.0.0.2
                        vlans:
                            bond0.5: {id: 5, link: bond0}
                        wifis:
                            wl0: {access-points: {net: {password: Geheim}}}
                    """,
                    "/@/etc/systemd/network/10-a.network":
                        "[Match]\nName=enp1s0\nMACAddress=52:54:00:00:00:09 52:54:00:00:00:0a\n[Network]\nAddress=192.0.2.40/24\nDNS=192.0.2.53 192.0.2.54\nVLAN=v8\n[Route]\nGateway=192.0.2.1\n[Route]\nDestination=10.0.0.0/8\nGateway=192.0.2.2\n",
                    "/@/etc/systemd/network/20-v.netdev": "[NetDev]\nName=v8\nKind=vlan\n[VLAN]\nId=8\n",
                    "/@home/u/x": "",
                ], kind: .btrfs))
        #expect(system.prettyName == "Ubuntu 22.04.3 LTS" && system.hostname == nil)
        #expect(
            system.networkFiles.map(line) == [
                "50-cloud-init.yaml: eno2, bond bond0", "50-cloud-init.yaml: eno3, dhcp",
                "50-cloud-init.yaml: wan0, 52:54:00:aa:00:01, 192.0.2.30/24 2001:db8::30/64, via 192.0.2.1, dns 192.0.2.53, bond bond0",
                "50-cloud-init.yaml: bond0, 10.0.0.30/8 10.9.0.30/16, via 10.0.0.1, mode active-backup",
                "50-cloud-init.yaml: bond0.5, vlan 5, on bond0",
                "10-a.network: enp1s0, 52:54:00:00:00:09, 192.0.2.40/24, via 192.0.2.1, dns 192.0.2.53 192.0.2.54",
                "20-v.netdev: v8, vlan 8, on enp1s0",
            ])
        #expect(!"\(system)".contains("Geheim"))
    }

    @Test func noSystemIsNone() {
        #expect(look(["/etc/motd": "x", "/home/a": "b"]) == nil)
        #expect(look(["/vmlinuz-5": "", "/grub/grub.cfg": ""]) == nil)
        #expect(look([:]) == nil)
        #expect(look(["/etc/debian_version": "4.0\n"], state: .needsRecovery)?.state == "needs recovery")
        #expect(look(["/etc/debian_version": "4.0\n"])?.prettyName == "Debian GNU/Linux 4.0")
    }

    @Test func hostileFilesAreNoTrouble() {
        let words = [
            "[", "]", "{", "}", ":", "-", "\"", "'", "=", "#", "\n", " ", "  ", "a", "network", "\\", "\\x", ",", "é",
            "0",
        ]
        var generator = SeededGenerator(seed: 5)
        let paths = [
            "/etc/fstab", "/etc/os-release", "/etc/netplan/a.yaml", "/etc/network/interfaces",
            "/etc/NetworkManager/system-connections/a", "/etc/sysconfig/network-scripts/ifcfg-a", "/etc/hostname",
            "/etc/systemd/network/a.network", "/etc/systemd/network/a.netdev", "/etc/iscsi/initiatorname.iscsi",
            "/etc/iscsi/nodes/iqn.a/1,2", "/etc/systemd/system/a.mount", "/etc/udev/rules.d/70-persistent-net.rules",
        ]
        for _ in 0..<300 {
            var files: [String: String] = [:]
            for path in paths {
                files[path] = (0..<Int(generator.next() % 60)).map { _ in
                    words.randomElement(using: &generator) ?? ""
                }.joined()
            }
            #expect(look(files) != nil)
        }
        let deep = String(repeating: "- ", count: 3000) + "\n" + String(repeating: "[", count: 3000)
        let nested = (0..<2000).map { String(repeating: " ", count: $0) + "a:" }.joined(separator: "\n")
        #expect(look(["/etc/fstab": "", "/etc/netplan/a.yaml": deep, "/etc/netplan/b.yaml": nested]) != nil)
        // A source that includes itself.
        #expect(look(["/etc/fstab": "", "/etc/network/interfaces": "source /etc/network/*\n"]) != nil)
    }

    /// The same files, through the real readers.
    @Test(
        .enabled(if: Tool.isInstalled("mke2fs", "mkfs.xfs")),
        arguments: [FileSystemKind.ext4, .xfs])
    func throughARealFileSystem(_ kind: FileSystemKind) throws {
        let folder = try TemporaryFolder()
        let image = folder.file("image")
        let tree = try folder.folder("tree")
        for name in ["etc", "etc/sysconfig", "etc/sysconfig/network-scripts", "boot", "usr", "usr/lib"] {
            try Tool.output("mkdir", ["\(tree)/\(name)"])
        }
        func put(_ path: String, _ text: String) throws { try SampleContent.write(Array(text.utf8), to: tree + path) }
        try put("/usr/lib/os-release", "ID=rocky\nPRETTY_NAME=\"Rocky Linux 9\"\nVERSION_ID=9\n")
        try Tool.output("ln", ["-s", "../usr/lib/os-release", "\(tree)/etc/os-release"])
        try put("/etc/fstab", "UUID=1 / xfs defaults 0 0\nnas:/v /v nfs ro 0 0\n")
        try put("/etc/hostname", "real\n")
        try put("/etc/sysconfig/network-scripts/ifcfg-eth0", "DEVICE=eth0\nIPADDR=192.0.2.3\nPREFIX=24\n")
        try put("/boot/vmlinuz-5.14", "x")
        if kind == .ext4 {
            try Tool.output("truncate", ["--size", "16M", image])
            try Tool.output("mke2fs", ["-q", "-F", "-t", "ext4", "-d", tree, image])
        } else {
            try Tool.output("truncate", ["--size", "300M", image])
            let lines = """
                /dev/null
                0 0
                d--755 0 0
                boot d--755 0 0
                vmlinuz-5.14 ---644 0 0 \(tree)/boot/vmlinuz-5.14
                $
                etc d--755 0 0
                fstab ---644 0 0 \(tree)/etc/fstab
                hostname ---644 0 0 \(tree)/etc/hostname
                os-release l--777 0 0 ../usr/lib/os-release
                sysconfig d--755 0 0
                network-scripts d--755 0 0
                ifcfg-eth0 ---644 0 0 \(tree)/etc/sysconfig/network-scripts/ifcfg-eth0
                $
                $
                $
                usr d--755 0 0
                lib d--755 0 0
                os-release ---644 0 0 \(tree)/usr/lib/os-release
                $
                $
                $

                """
            try SampleContent.write(Array(lines.utf8), to: folder.file("proto"))
            try Tool.output("mkfs.xfs", ["-q", "-p", folder.file("proto"), image])
        }
        let source = CountingSource(try FileSource(image))
        let reader = try #require(try FileSystemKind.open(source))
        #expect(reader.kind == kind)
        let system = try #require(
            InstalledSystemReader.look(at: reader, device: "/dev/vda1", volumes: [Self.volume("/dev/vda1", uuid: "1")]))
        #expect(system.prettyName == "Rocky Linux 9" && system.hostname == "real" && system.state == "clean")
        #expect(system.mounts.map(\.resolution) == ["local", "network"])
        #expect(system.networkFiles.map(line) == ["ifcfg-eth0: eth0, 192.0.2.3/24"])
        #expect(system.kernels == ["vmlinuz-5.14"])
        // A probe reads less than 4 MiB of a disk.
        #expect((1...1 << 20).contains(source.bytesRead))
    }
}
