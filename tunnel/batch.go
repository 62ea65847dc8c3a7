package tunnel

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"reflect"
)

const (
	batchSize  = 1000 // steps that go to the system together at most: between them the service manager hears of us
	toldErrors = 5    // of a plan, in words: what keeps one step of a batch from being done often keeps all
)

// batches cuts a plan into runs of steps that may be done in any order, as they
// are of one kind and each is about another peer or route.
func batches(p Plan) iter.Seq[[]Step] {
	return func(yield func([]Step) bool) {
		for start := 0; start < len(p); {
			end := start + 1
			for end < len(p) && end-start < batchSize && together(p[start], p[end]) {
				end++
			}
			if !yield(p[start:end]) {
				return
			}
			start = end
		}
	}
}

// together says whether two steps, one after the other in a plan, are of a kind of
// which there may be many, and could as well be done the other way round.
func together(a, b Step) bool {
	switch a.(type) {
	case SetPeer, RemovePeer, GreetPeer, SetRoute, RemoveRoute:
		return reflect.TypeOf(a) == reflect.TypeOf(b) && closes(a) == closes(b)
	}
	return false
}

// do does the steps in order. After one that fails it does only those that
// close: a layer that cannot be put in place must not keep the other one down.
func do(ctx context.Context, sys System, plan Plan, done func(Step)) error {
	var failed []error
	for steps := range batches(plan) {
		if len(failed) > 0 && !closes(steps[0]) {
			continue
		}
		errs := sys.Do(ctx, steps)
		for i, s := range steps {
			if errs == nil || errs[i] == nil {
				done(s)
				continue
			}
			failed = append(failed, fmt.Errorf("%s: %w", s, errs[i]))
		}
	}
	if more := len(failed) - toldErrors; more > 0 {
		failed = append(failed[:toldErrors], fmt.Errorf("%d more steps failed", more))
	}
	return errors.Join(failed...)
}

// closes says whether a step can only tighten, whatever else is in place.
func closes(s Step) bool {
	switch s := s.(type) {
	case ReplaceGuard, AddToGuard, AddRule, ForgetPaths:
		return true
	case SetRoute:
		return s.Route.Unreachable
	}
	return false
}
