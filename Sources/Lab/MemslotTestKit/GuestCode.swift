import Memslots

package enum GuestAccess: String, Hashable, Sendable, CaseIterable {
    case increments
    /// Adds them to a sum outside of the region: for memory that is read-only at times.
    case reads
    /// Draws a ticket before and after each access, and records the last access that found memory
    /// and the first one that found none: 0, which is what the host returns where there is none.
    case witnesses
    /// Increments, and reads a tag after each, which must never be below the last one of the vCPU,
    /// in whichever address space. Its system management mode does the same.
    case ordered
}

extension GuestProgram {
    /// The position-independent machine code.
    var code: [UInt8] {
        switch kind {
        case .real: realModeCode
        case .long: longModeCode
        }
    }

    /// 16-bit code. On entry: DS is the region, ES the counters, edx the offset of the vCPU's
    /// words, ecx the bytes of the region.
    private var realModeCode: [UInt8] {
        let body: [UInt8] =
            switch access {
            case .increments:
                [0x67, 0xff, 0x03]  //                                          inc word [ebx]
            case .reads:
                [
                    0x67, 0x66, 0x8b, 0x03,  //                                 mov eax, [ebx]
                    0x26, 0x66, 0x01, 0x06, 0x08, 0x00,  //                     add es:[8], eax
                ]
            case .witnesses:
                [
                    0x66, 0xb8, 0x01, 0x00, 0x00, 0x00,  //                     mov eax, 1
                    0x26, 0xf0, 0x66, 0x0f, 0xc1, 0x05,  //                     xadd es:[di], eax
                    0x66, 0x89, 0xc5,  //                                       mov ebp, eax
                    0x67, 0x66, 0x8b, 0x03,  //                                 mov eax, [ebx]
                    0x66, 0xbe, 0x01, 0x00, 0x00, 0x00,  //                     mov esi, 1
                    0x26, 0xf0, 0x66, 0x0f, 0xc1, 0x35,  //                     xadd es:[di], esi
                    0x66, 0x85, 0xc0,  //                                       test eax, eax
                    0x74, 0x08,  //                                             je none
                    0x26, 0x66, 0x89, 0x2e, 0x0c, 0x00,  //                     mov es:[12], ebp
                    0xeb, 0x0f,  //                                             jmp next
                    0x26, 0x66, 0x83, 0x3e, 0x10, 0x00, 0x00,  // none:         cmp es:[16], 0
                    0x75, 0x06,  //                                             jne next
                    0x26, 0x66, 0x89, 0x36, 0x10, 0x00,  //                     mov es:[16], esi
                ]  // next:
            case .ordered:
                [
                    0x67, 0xff, 0x03,  //                                       inc word [ebx]
                    0x26, 0x66, 0x8b, 0x2e, 0x18, 0x00,  //                     mov ebp, es:[24]
                    0x67, 0x66, 0x8b, 0x07,  //                                 mov eax, [edi]
                    0x66, 0x39, 0xe8,  //                                       cmp eax, ebp
                    0x73, 0x06,  //                                             jae next
                    0x26, 0x66, 0xff, 0x06, 0x1c, 0x00,  //                     inc dword es:[28]
                    0x26, 0x66, 0xa3, 0x18, 0x00,  // next:                     mov es:[24], eax
                ]
            }
        func back(_ bytes: Int) -> UInt8 { UInt8(256 - bytes - body.count) }
        return [0x66, 0x89, 0xd3]  // round:                                    mov ebx, edx
            + body  // page:
            + [0x66, 0x81, 0xc3] + bytes(placement.stride)  //                  add ebx, stride
            + [
                0x66, 0x39, 0xcb,  //                                           cmp ebx, ecx
                0x72, back(12),  //                                             jb page
                0x26, 0x66, 0xff, 0x06, 0x00, 0x00,  //                         inc dword es:[0]
                0x26, 0x66, 0xa1, 0x00, 0x00,  //                               mov eax, es:[0]
                0x26, 0x66, 0x3b, 0x06, 0x04, 0x00,  //                         cmp eax, es:[4]
                0x75, back(34),  //                                             jne round
                0xe6, UInt8(Self.port),  //                                     out port, al
                0xeb, back(38),  //                                             jmp round
            ]
    }

    /// 64-bit code. On entry: rdi is the vCPU's number in the first page, ecx the number of pages,
    /// rsi the counters, r8 the doorbell. Not every host allows level 3 a port.
    private var longModeCode: [UInt8] {
        let body: [UInt8] =
            switch access {
            case .increments: [0xff, 0x03]  //                                  inc dword [rbx]
            case .reads:
                [
                    0x8b, 0x03,  //                                             mov eax, [rbx]
                    0x01, 0x46, 0x08,  //                                       add [rsi + 8], eax
                ]
            case .witnesses:
                [
                    0xb8, 0x01, 0x00, 0x00, 0x00,  //                           mov eax, 1
                    0xf0, 0x41, 0x0f, 0xc1, 0x01,  //                           lock xadd [r9], eax
                    0x89, 0xc5,  //                                             mov ebp, eax
                    0x8b, 0x03,  //                                             mov eax, [rbx]
                    0x41, 0xba, 0x01, 0x00, 0x00, 0x00,  //                     mov r10d, 1
                    0xf0, 0x45, 0x0f, 0xc1, 0x11,  //                           lock xadd [r9], r10d
                    0x85, 0xc0,  //                                             test eax, eax
                    0x74, 0x05,  //                                             je none
                    0x89, 0x6e, 0x0c,  //                                       mov [rsi + 12], ebp
                    0xeb, 0x0a,  //                                             jmp next
                    0x83, 0x7e, 0x10, 0x00,  // none:                           cmp [rsi + 16], 0
                    0x75, 0x04,  //                                             jne next
                    0x44, 0x89, 0x56, 0x10,  //                                 mov [rsi + 16], r10d
                ]  // next:
            case .ordered:
                [
                    0xff, 0x03,  //                                             inc dword [rbx]
                    0x8b, 0x6e, 0x18,  //                                       mov ebp, [rsi + 24]
                    0x41, 0x8b, 0x02,  //                                       mov eax, [r10]
                    0x39, 0xe8,  //                                             cmp eax, ebp
                    0x73, 0x03,  //                                             jae next
                    0xff, 0x46, 0x1c,  //                                       inc dword [rsi + 28]
                    0x89, 0x46, 0x18,  // next:                                 mov [rsi + 24], eax
                ]
            }
        func back(_ bytes: Int) -> UInt8 { UInt8(256 - bytes - body.count) }
        return [
            0x48, 0x89, 0xfb,  // round:                                        mov rbx, rdi
            0x89, 0xca,  //                                                     mov edx, ecx
        ] + body  // page:
            + [0x48, 0x81, 0xc3] + bytes(placement.stride)  //                  add rbx, stride
            + [
                0xff, 0xca,  //                                                 dec edx
                0x75, back(11),  //                                             jne page
                0xff, 0x06,  //                                                 inc dword [rsi]
                0x8b, 0x06,  //                                                 mov eax, [rsi]
                0x3b, 0x46, 0x04,  //                                           cmp eax, [rsi + 4]
                0x75, back(25),  //                                             jne round
                0x41, 0x89, 0x00,  //                                           mov [r8], eax
                0xeb, back(30),  //                                             jmp round
            ]
    }

    /// The code of system management mode: 16 bits, with segments from address 0. A round of
    /// ``GuestAccess/ordered`` with the numbers of address space 1.
    package var managementCode: [UInt8] {
        let registers: [(move: UInt8, value: UInt64)] = [
            (0xbb, number(in: 0, space: 1).rawValue),  //                       mov ebx, numbers
            (0xb9, placement.pageCount),  //                                    mov ecx, pages
            (0xbe, rounds.rawValue),  //                                        mov esi, counters
            (0xbf, GuestPlacement.tag.rawValue),  //                            mov edi, tag
        ]
        return registers.flatMap { [0x66, $0.move] + bytes($0.value) }
            + [
                0x67, 0x66, 0xff, 0x03,  // page:                               inc dword [ebx]
                0x67, 0x66, 0x8b, 0x6e, 0x18,  //                               mov ebp, [esi + 24]
                0x67, 0x66, 0x8b, 0x07,  //                                     mov eax, [edi]
                0x66, 0x39, 0xe8,  //                                           cmp eax, ebp
                0x73, 0x05,  //                                                 jae next
                0x67, 0x66, 0xff, 0x46, 0x1c,  //                               inc dword [esi + 28]
                0x67, 0x66, 0x89, 0x46, 0x18,  // next:                         mov [esi + 24], eax
                0x66, 0x81, 0xc3, 0x00, 0x10, 0x00, 0x00,  //                   add ebx, 4096
                0x66, 0x49,  //                                                 dec ecx
                0x75, 0xd9,  //                                                 jne page
                0x67, 0x66, 0xff, 0x46, 0x14,  //                               inc dword [esi + 20]
                0x0f, 0xaa,  //                                                 rsm
            ]
    }

    private func bytes(_ value: UInt64) -> [UInt8] {
        (0..<4).map { UInt8(truncatingIfNeeded: value >> (8 * $0)) }
    }
}
