package tunnel

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"postroad/peers"
)

// A System is the host's network, as far as a Loop needs it.
type System interface {
	// Observe reads what of ours is there, and the facts of the host. It
	// changes nothing.
	Observe(ctx context.Context, q Query) (State, Facts, error)
	// Do does steps of one kind, each of them whole or not at all, and says of each
	// why it was not done; nil: all were.
	Do(ctx context.Context, steps []Step) []error
	// Watch calls changed whenever something may have changed, until ctx ends
	// (nil) or it can no longer watch (an error). By is for the log only.
	Watch(ctx context.Context, changed func(by Culprit)) error
	// Connections counts, by remote address, the TCP connections that are
	// established and have one of the ports on either side. IPv4-mapped addresses
	// count as IPv4. It may be called from any goroutine.
	Connections(ctx context.Context, ports []uint16) (map[netip.Addr]int, error)
	// Callers says who has begun handshakes with this host within the last seconds,
	// let in or not, and when last. The addresses may be made up, and some may be
	// left out where they are too many. It costs little.
	Callers(ctx context.Context) (map[netip.Addr]time.Time, error)
}

// A Query says what to observe beside what bears our marks.
type Query struct {
	Link    string       // name of the link
	Remotes []netip.Addr // addresses whose paths are asked for
}

// The loop's times.
const (
	interval      = 30 * time.Second       // looks without being woken
	shortInterval = 5 * time.Second        // the same while a peer does not answer
	soon          = time.Second            // the same right after something was done
	openInterval  = 2 * time.Second        // the same while the answer of a peer in clear moves its mail into the tunnel
	minGap        = 5 * time.Millisecond   // between two passes
	maxGap        = 250 * time.Millisecond // between two passes under a storm of events
	callInterval  = 90 * time.Second       // between calls to a peer that does not answer: REKEY_ATTEMPT_TIME, when WireGuard gives up

	policyCallInterval = 15 * time.Second // the same where the answer decides whether mail goes in clear

	watchBackoff = 500 * time.Millisecond // after watching broke off
	minBackoff   = 100 * time.Millisecond // after a failed pass
	maxBackoff   = 3 * time.Second        // after many: what is mended is taken up soon
)

var (
	errDown    = errors.New("taken down") // ends Run after Down
	errStopped = errors.New("the daemon is stopping")
)

// A Loop keeps the system in the state that the peers file asks for. All its
// work is done by one goroutine, that of Run; the other methods ask it.
type Loop struct {
	System System
	Load   func() (*peers.Config, error)                      // reads the peers file
	Lookup func(ctx context.Context, name string) peers.Found // asks DNS for the addresses of a name
	Log    *slog.Logger
	Prober Prober // measures how large packets get through; nil: they stay at SafeMTU

	// What DNS said last, before this start, and what keeps what it says from now
	// on. Nil: nothing is known, or kept.
	Answers     peers.Answers
	SaveAnswers func(peers.Answers) error

	// Closed are addresses that were protected before this start: they stay closed
	// until DNS has answered for all names, whose addresses they may be.
	Closed []netip.Addr

	// Delivery looks up where a domain's mail goes. Nil: domains are not watched.
	Delivery func(ctx context.Context, domain string) peers.Delivery

	// Remember keeps what is to be closed whatever becomes of the peers file; one
	// that fails is tried again at the next pass. Nil: nothing is kept.
	Remember func(peers.Selectors) error

	// Latches keeps who has answered, for the policies prefer and latch. What cannot
	// be kept is tried again at the next pass. Nil: nothing is kept.
	Latches LatchStore

	// Expose has metrics answered at an address; zero: nowhere. It is called at
	// every pass, and does nothing if that is so already. Nil: there are none.
	Expose func(netip.AddrPort) error

	// Embedded is told how many peers WireGuard within this process has, whenever
	// that changes. Nil: nobody is.
	Embedded func(peers int)

	// Hurry is called before a pass and a reload of many peers, and done after it.
	// Nil: nobody is told.
	Hurry func() (done func())

	// What a service manager is told, by the goroutine that does the work: nil
	// functions are not called.
	Ready      func(open int)     // once, after the first clean pass; open: number of peers in clear by policy
	Alive      func()             // after every step of a plan, and every AliveEvery
	AliveEvery time.Duration      // zero: never
	Tell       func(words string) // how mail is protected, whenever that changes

	config      *peers.Config             // as the file has it
	resolved    *peers.Config             // with the addresses of its names
	remarks     map[string][]peers.Remark // on those, by peers' names
	asked       bool                      // all names that nothing is known of were asked for
	answered    bool                      // DNS has said all of all names
	answers     peers.Answers             // that count in this pass
	lookups     map[string][]peers.Remark // what there is to say of them, by names
	endpoints   map[string][]netip.Addr   // of endpoints' names
	own         []netip.Addr              // this host's addresses, at the last look
	held        []netip.Addr              // of Closed, what nobody is known to have
	toldHeld    bool
	toldRemarks map[remarked]telling
	file        FileStatus
	policies    policies
	kept        *peers.Selectors // what Remember was given last and has kept; nil: nothing, or another config's
	forgets     error            // why what is protected could not be remembered; nil: it is, or there is nothing to
	unexposed   error            // why metrics cannot be read where the file asks for it; nil: they can
	problem     error            // why the last pass failed; nil: it did not
	steps       int              // that the last pass did
	pace        pace
	passed      bool   // there was a clean pass
	down        bool   // protection has been taken away on purpose
	told        string // the words that Tell was given last
	repoint     map[peers.PublicKey]bool
	names       *names
	domains     *domains
	domainLog   domainLog
	mtus        *mtus
	settled     *State                   // what was in place after the last clean pass; nil: there was none
	wished      State                    // by the last pass
	up          bool                     // the link is, as the last look has shown
	seen        []DevicePeer             // by that look
	callers     map[netip.Addr]time.Time // lately
	greetings   greetings
	inProcess   int // peers, as Embedded was told
	counters    Counters
	tracker     tracker
	drift       drift
	culprits    *culprits
	clock       clock
	began       time.Time
	calls       chan func(context.Context)
	pokes       chan struct{}
	events      chan struct{} // there was one that no pass has looked at
	stopped     chan struct{} // closed when Run ends
}

// New returns a loop that starts with the config c.
func New(l Loop, c *peers.Config) *Loop {
	l.calls, l.pokes, l.events, l.stopped = make(chan func(context.Context)), make(chan struct{}, 1), make(chan struct{}, 1), make(chan struct{})
	l.tracker.log, l.counters, l.culprits = l.Log, newCounters(), &culprits{}
	l.began = time.Now()
	l.policies = policies{log: l.Log, store: l.Latches}
	l.names = newNames(&l)
	l.domains, l.domainLog.log = newDomains(l.Delivery, l.Poke), l.Log
	l.mtus = newMTUs(l.Prober, l.Log, l.Poke)
	l.accept(c)
	return &l
}

// Run keeps the state until ctx ends or Down is called; both are no error. What
// is in the kernel stays.
func (l *Loop) Run(ctx context.Context) error {
	defer close(l.stopped)
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return l.watch(ctx) })
	g.Go(func() error { return l.names.run(ctx) })
	g.Go(func() error { return l.domains.run(ctx) })
	g.Go(func() error { return l.mtus.run(ctx) })
	g.Go(func() error { return l.work(ctx) })
	if err := g.Wait(); !errors.Is(err, errDown) {
		return err
	}
	return nil
}

// Poke asks for a pass soon. It never blocks.
func (l *Loop) Poke() {
	select {
	case l.pokes <- struct{}{}:
	default:
	}
}

// Reload reads the peers file and, if it is valid, puts it in force before it
// returns. Otherwise all stays as it was, and the error says why.
func (l *Loop) Reload(ctx context.Context) error {
	asked := false
	err := l.call(ctx, func(ctx context.Context) error {
		err := l.reload(ctx)
		asked = l.asked
		return err
	})
	if err != nil || asked {
		return err
	}
	l.names.await(ctx)
	return l.call(ctx, func(ctx context.Context) error { _, err := l.pass(ctx); return err })
}

// reload is Reload without the addresses of names that are new.
func (l *Loop) reload(ctx context.Context) error {
	defer l.hurry()()
	c, err := l.Load()
	if err != nil {
		l.reject(err)
		l.tell()
		return fileError{err}
	}
	l.Log.Info("peers file in force", inForce(peers.Compare(l.config, c), len(c.Peers))...)
	l.accept(c)
	if _, err := l.pass(ctx); err != nil {
		return fmt.Errorf("the file is in force, but applying it goes on failing: %w", err)
	}
	if err := errors.Join(l.forgets, l.policies.problem(), l.unexposed); err != nil {
		return fmt.Errorf("the file is in force, but %w", err)
	}
	return nil
}

// A fileError is the peers file's fault.
type fileError struct{ error }

func (e fileError) Unwrap() error { return e.error }

// IsFileError says whether the peers file is at fault.
func IsFileError(err error) bool { return errors.As(err, new(fileError)) }

// TakenDown says whether Down ended Run. It is to be asked after that.
func (l *Loop) TakenDown() bool { return l.down }

// Down takes all protection away and ends Run.
func (l *Loop) Down(ctx context.Context) error {
	return l.call(ctx, func(ctx context.Context) error {
		err := TakeDown(ctx, l.System, l.config.Host.Link)
		l.down = err == nil
		return err
	})
}

// TakeDown removes all that is ours, the guard last.
func TakeDown(ctx context.Context, sys System, link string) error {
	have, _, err := sys.Observe(ctx, Query{Link: link})
	if err != nil {
		return err
	}
	return do(ctx, sys, Diff(have, State{}, time.Now()), func(Step) {})
}

// Shut closes what s selects, and does nothing else: for a daemon that cannot
// start, so that what was protected is so or stays off the wire.
func Shut(ctx context.Context, sys System, s peers.Selectors) error {
	have, facts, err := sys.Observe(ctx, Query{Link: s.Link})
	if err != nil { // what was not seen is added to, not replaced; one layer may be to be had all the same
		have, facts = State{Guard: Guard{Sound: true, Link: s.Link}}, Facts{IPv6: true}
	}
	want := Want(s.Config(), facts)
	own := have.Guard
	want.Guard.Own, want.Guard.UDP, want.Guard.NAT = own.Own, own.UDP, own.NAT // what peers may reach is not for this to say
	plan := slices.DeleteFunc(Diff(have, want, time.Now()), func(s Step) bool { return !closes(s) })
	return errors.Join(err, do(ctx, sys, plan, func(Step) {}))
}

// call runs f in the goroutine of Run, with Run's context: who asked may go,
// what he asked for is finished.
func (l *Loop) call(ctx context.Context, f func(context.Context) error) error {
	done := make(chan error, 1)
	select {
	case l.calls <- func(ctx context.Context) { done <- f(ctx) }:
		return <-done
	case <-ctx.Done():
		return ctx.Err()
	case <-l.stopped:
		return errStopped
	}
}

// changed notes who changed something, and asks for a pass.
func (l *Loop) changed(by Culprit) {
	l.culprits.add(by, time.Now())
	select {
	case l.events <- struct{}{}:
	default:
	}
}

// heard says whether something has changed that no look has seen, and takes it that
// one begins now.
func (l *Loop) heard() bool {
	select {
	case <-l.events:
		return true
	default:
		return false
	}
}

// watch pokes at every change, and resubscribes when watching breaks.
func (l *Loop) watch(ctx context.Context) error {
	for ctx.Err() == nil {
		if err := l.System.Watch(ctx, l.changed); err != nil && ctx.Err() == nil {
			l.Log.Warn("watching the kernel broke off; looking again", "error", err)
			sleep(ctx, watchBackoff)
		}
		l.Poke()
	}
	return nil
}

func sleep(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}
