//go:build wasip1

package sdk

import (
	"encoding/binary"
	"strings"
	"unsafe"
)

// The canonical ABI of the world `scenario:host/plugin`, by hand: what wit/ says, flattened. Addresses have 32 bits,
// also where Go's pointers have 64.

//go:wasmimport scenario:host/agent@0.1.0 [static]session.start
//go:noescape
func sessionStart(prompt unsafe.Pointer, length int32, answer unsafe.Pointer)

//go:wasmimport scenario:host/agent@0.1.0 [method]session.next-event
//go:noescape
func sessionNextEvent(handle int32, answer unsafe.Pointer)

//go:wasmimport scenario:host/agent@0.1.0 [method]session.send
//go:noescape
func sessionSend(handle int32, message unsafe.Pointer, length int32, answer unsafe.Pointer)

//go:wasmimport scenario:host/agent@0.1.0 [method]session.conclude
//go:noescape
func sessionConclude(handle int32, answer unsafe.Pointer)

//go:wasmimport scenario:host/agent@0.1.0 [resource-drop]session
func sessionDrop(handle int32)

//go:wasmimport scenario:host/report@0.1.0 step
//go:noescape
func reportStep(name unsafe.Pointer, length int32)

//go:wasmimport scenario:host/report@0.1.0 note
//go:noescape
func reportNote(text unsafe.Pointer, length int32)

//go:wasmimport scenario:host/report@0.1.0 metric
//go:noescape
func reportMetric(name unsafe.Pointer, nameLength int32, value float64, unit unsafe.Pointer, unitLength int32)

//go:wasmimport scenario:host/report@0.1.0 attach
//go:noescape
func reportAttach(name unsafe.Pointer, nameLength int32, media unsafe.Pointer, mediaLength int32,
	content unsafe.Pointer, contentLength int32)

// What the host was given or gave. Go's collector does not know of the addresses that the host holds. A plugin runs one
// scenario in a fresh instance, so nothing is ever let go.
var pinned []any

// Neither is named `cabi_realloc`: the WASI adapter would call that before Go's runtime is up.
//
//go:wasmexport cabi_import_realloc
func importRealloc(old unsafe.Pointer, oldSize, align, size int32) unsafe.Pointer {
	return newBlock(int(size)).pointer()
}

//go:wasmexport cabi_export_realloc
func exportRealloc(old unsafe.Pointer, oldSize, align, size int32) unsafe.Pointer {
	return newBlock(int(size)).pointer()
}

// block is memory that the host reads or writes.
type block []byte

func newBlock(size int) block {
	words := make([]uint64, size/8+1) // aligned for anything
	pinned = append(pinned, words)
	return unsafe.Slice((*byte)(unsafe.Pointer(&words[0])), size+1)[:size]
}

func (b block) pointer() unsafe.Pointer { return unsafe.Pointer(unsafe.SliceData(b)) }

func (b block) address() uint32 { return uint32(uintptr(b.pointer())) }

func (b block) u8(at int) byte { return b[at] }

func (b block) u32(at int) uint32 { return binary.LittleEndian.Uint32(b[at:]) }

func (b block) text(at int) string { return textAt(b.u32(at), b.u32(at+4)) }

func (b block) put(at int, values ...uint32) {
	for _, value := range values {
		binary.LittleEndian.PutUint32(b[at:], value)
		at += 4
	}
}

func (b block) putText(at int, text string) {
	copied := newBlock(len(text))
	copy(copied, text)
	b.put(at, copied.address(), uint32(len(text)))
}

// fault gives the session fault of a result whose payload begins at `at`, if it is one.
func (b block) fault(at int) error {
	if b.u8(0) == 0 {
		return nil
	}
	return SessionFault{b.text(at), b.text(at + 8)}
}

func textPointer(text string) unsafe.Pointer { return unsafe.Pointer(unsafe.StringData(text)) }

//go:nocheckptr
func textAt(address, length uint32) string {
	base := uintptr(address)
	return strings.Clone(unsafe.String(*(**byte)(unsafe.Pointer(&base)), int(length)))
}
