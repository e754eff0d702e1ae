//go:build wasip1

package sdk

import (
	"errors"
	"unsafe"
)

const (
	verdictPass = iota
	verdictFail
	verdictSkip
)

//go:wasmexport scenario:host/scenarios@0.1.0#list
func exportList() unsafe.Pointer {
	const size = 40
	infos := newBlock(size * len(contained))
	for index, scenario := range contained {
		info := infos[size*index:]
		info.putText(0, scenario.Name)
		info.putText(8, scenario.Summary)
		info.putTexts(16, scenario.Tags)
		info.putTexts(24, scenario.Needs)
		clauses := newBlock(16 * len(scenario.Clauses))
		for index, clause := range scenario.Clauses {
			clauses[16*index:].putText(0, clause.Code)
			clauses[16*index:].putText(8, clause.Requires)
		}
		info.put(32, clauses.address(), uint32(len(scenario.Clauses)))
	}
	answer := newBlock(8)
	answer.put(0, infos.address(), uint32(len(contained)))
	return answer.pointer()
}

//go:wasmexport scenario:host/scenarios@0.1.0#run
func exportRun(name unsafe.Pointer, length int32) unsafe.Pointer {
	verdict := newBlock(12)
	for _, scenario := range contained {
		if scenario.Name == unsafe.String((*byte)(name), int(length)) {
			verdict.judge(scenario)
			return verdict.pointer()
		}
	}
	verdict.skip("this plugin has no such scenario")
	return verdict.pointer()
}

func (verdict block) judge(scenario Scenario) {
	evidence, err := scenario.Run()
	var skip Skip
	var fault SessionFault
	switch {
	case errors.As(err, &skip), errors.As(err, &fault):
		verdict.skip(err.Error())
		return
	case err != nil:
		panic(err)
	}
	found := scenario.Judge(evidence)
	if len(found) == 0 {
		verdict[0] = verdictPass
		return
	}
	const size = 28
	findings := newBlock(size * len(found))
	for index, finding := range found {
		to := findings[size*index:]
		to.putText(0, finding.Code)
		to.putText(8, finding.Message)
		if finding.Evidence != "" {
			to.put(16, 1)
			to.putText(20, finding.Evidence)
		}
	}
	verdict[0] = verdictFail
	verdict.put(4, findings.address(), uint32(len(found)))
}

func (verdict block) skip(reason string) {
	verdict[0] = verdictSkip
	verdict.putText(4, reason)
}

func (b block) putTexts(at int, texts []string) {
	list := newBlock(8 * len(texts))
	for index, text := range texts {
		list.putText(8*index, text)
	}
	b.put(at, list.address(), uint32(len(texts)))
}
