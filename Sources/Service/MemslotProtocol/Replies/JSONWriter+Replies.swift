import Memslots

extension JSONWriter {
    /// Bytes of a slot's text, as most slots have.
    private static var usualSlotBytes: Int { 128 }

    mutating func reply(_ reply: Reply) {
        switch reply {
        case .done: object { _ in }
        case .vm(let vm): object { $0.member("vm", vm) }
        case .serverInfo(let info): serverInfo(info)
        case .atomic(let isAtomic): object { $0.member("atomic", isAtomic) }
        case .created(let vm, let backend, let capabilities):
            object {
                $0.member("vm", vm)
                $0.member("backend", backend)
                $0.member("generation", 0)
                $0.member("capabilities", capabilities) { $0.capabilities($1) }
            }
        case .vms(let vms): object { $0.list("vms", vms) { $0.listed($1) } }
        case .recovered(let vm, let generation):
            object {
                $0.member("vm", vm)
                $0.member("generation", generation.rawValue)
                $0.member("state", "ready")
            }
        case .memory(let memory): listed(memory)
        case .memories(let memories): object { $0.list("memories", memories) { $0.listed($1) } }
        case .observer(let observer): self.observer(observer)
        case .observers(let all): object { $0.list("observers", all) { $0.observer($1) } }
        case .exported(let memory, let size, _): exported(memory, size, index: 0)
        case .receipt(let receipt): self.receipt(receipt)
        case .array(let array): self.array(array)
        case .translations(let generation, let addresses):
            object {
                $0.member("generation", generation.rawValue)
                $0.list("translations", addresses) { writer, element in
                    switch element {
                    case .address(nil): writer.null()
                    case .address(let place): writer.translated(place, size: nil)
                    case .range(let pieces):
                        writer.beginArray()
                        for piece in pieces { writer.translated(piece.place, size: piece.size) }
                        writer.endArray()
                    }
                }
            }
        case .history(let receipts, let next):
            object {
                $0.list("receipts", receipts) { $0.receipt($1) }
                $0.member("next", next?.rawValue)
            }
        case .dirtyLog(let pageCount, let loggedCount, let dirtyCount, let pageSize, let bitmap):
            object {
                $0.member("pages", pageCount)
                $0.member(pageSize: pageSize)
                $0.member("logged", loggedCount)
                $0.member("dirty", dirtyCount)
                $0.member("bitmap", bitmap) { $0.base64($1) }
            }
        case .subscribed(let arrays): object { $0.list("vms", arrays) { $0.array($1) } }
        case .metrics(let metrics): self.metrics(metrics)
        }
    }

    /// Writes a memory object with the index of its descriptor among those of the line.
    mutating func exported(_ memory: String, _ size: ByteCount, index: Int) {
        object {
            $0.member("memory", memory)
            $0.member("size", address: size.rawValue)
            $0.member("fd", index)
        }
    }

    private mutating func array(_ array: ArrayMessage) {
        reserve(array.slots.count * Self.usualSlotBytes)
        object {
            $0.member("vm", array.vm)
            $0.member("generation", array.generation.rawValue)
            if array.isInstalled { $0.member("installed", true) }
            $0.member("slots", array.slots)
            let attributes = array.attributes.map { ($0, Bool?.none) }
            $0.member(attributes: attributes, evenIfEmpty: array.hasAttributes)
        }
    }

    private mutating func listed(_ vm: ListedVM) {
        object {
            $0.member("vm", vm.vm)
            $0.member("backend", vm.backend)
            $0.member("generation", vm.generation.rawValue)
            $0.member("slots", vm.slotCount)
            $0.member("state", vm.isFailed ? "failed" : "ready")
            if vm.isObserved { $0.member("observed", true) }
        }
    }

    private mutating func listed(_ memory: ListedMemory) {
        object {
            $0.member("memory", memory.memory)
            $0.member("size", address: memory.size.rawValue)
            $0.member("pageSize", address: memory.pageSize.rawValue)
        }
    }

    private mutating func translated(_ place: TranslatedAddress?, size: ByteCount?) {
        object {
            if let place {
                $0.members(of: place.slot)
                $0.member("offset", address: place.offset.rawValue)
                $0.members(of: place.backing)
                $0.member(flags: place.flags)
            } else {
                $0.key("slot")
                $0.null()
            }
            $0.member("size", address: size?.rawValue)
        }
    }

    // MARK: - Server and metrics

    private mutating func serverInfo(_ info: ServerInfo) {
        object {
            $0.member("name", "memslots")
            $0.member("version", info.version)
            $0.member("protocol", 1)
            $0.member("pid", Int(info.pid))
            $0.object("backends") {
                $0.member("simulated", info.simulated) { $0.backend($1) }
                $0.member("kvm", info.kvm) { $0.backend($1) }
            }
            $0.object("limits") { $0.members(info.limits) }
            $0.member("state", info.state) { $0.state($1) }
        }
    }

    private mutating func backend(_ backend: ServerInfo.Backend) {
        object {
            switch backend {
            case .available(let capabilities):
                $0.member("available", true)
                $0.member("capabilities", capabilities) { $0.capabilities($1) }
            case .unavailable(let reason):
                $0.member("available", false)
                $0.member("reason", reason)
            }
        }
    }

    private mutating func state(_ state: ServerState) {
        object {
            $0.member("directory", state.directory)
            $0.member("memory", state.hasDescriptorStore ? "descriptors" : "files")
            let lists: [(StaticString, [ServerState.Record])] = [
                ("unrestored", state.unrestored), ("damaged", state.damaged),
                ("ahead", state.ahead),
            ]
            for (name, records) in lists {
                $0.list(name, records) { writer, record in
                    writer.object {
                        $0.member("vm", record.vm)
                        $0.member("file", record.file)
                        $0.member("reason", record.reason)
                        $0.member("repair", record.repair?.rawValue)
                    }
                }
            }
        }
    }

    private mutating func metrics(_ metrics: MetricsMessage) {
        object {
            $0.figures(metrics.user)
            $0.object("gauges") {
                $0.members(metrics.gauges)
                $0.member("memoryBytes", address: metrics.memoryBytes.rawValue)
                $0.member("subscriptions", metrics.subscriptions)
            }
            if !metrics.users.isEmpty {
                $0.list("users", metrics.users) { writer, one in
                    writer.object {
                        $0.member("user", UInt64(one.user))
                        $0.object("gauges") { $0.members(one.gauges) }
                    }
                }
            }
            $0.list("vms", metrics.vms) { writer, vm in writer.object { $0.figures(vm) } }
            $0.member("openMetrics", metrics.openMetrics)
        }
    }

    /// Writes the members of one VM's or one user's figures.
    private mutating func figures(_ figures: MetricsMessage.Figures) {
        member("vm", figures.vm)
        object("counters") { $0.members(figures.counters) }
        object("histograms") {
            for histogram in figures.histograms {
                $0.key(named: histogram.name)
                $0.object { $0.members(histogram.values) }
            }
        }
    }

    private mutating func members(_ values: [NamedValue]) {
        for value in values {
            key(named: value.name)
            integer(value.value)
        }
    }
}
