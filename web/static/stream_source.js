// One EventSource on /live that always comes back, after the last event it saw.
const TYPES = ["job", "end", "line", "log", "progress", "hive", "resync"];
const BACK_OFF = [1000, 2000, 5000, 10000]; // milliseconds
const SILENT = 60000; // milliseconds without an event after which a woken page may ask for a new connection

export class StreamSource {
  // onFrame({type, id, html}), `id` null for what is never replayed; onState("live" | "reconnecting" | "closed")
  constructor(onFrame, onState) {
    this.onFrame = onFrame;
    this.onState = onState;
    this.last = 0;
    this.failures = 0;
  }

  start(since) {
    this.last = since;
    this.open();
  }

  open() {
    this.source?.close();
    this.heard = Date.now();
    this.source = new EventSource(`/live?last_event_id=${this.last}`);
    this.source.onopen = () => { this.failures = 0; this.onState("live"); };
    this.source.onerror = () => this.failed();
    for (const type of TYPES) this.source.addEventListener(type, (event) => this.take(type, event));
  }

  failed() {
    const closed = this.source.readyState === EventSource.CLOSED;
    this.onState(closed ? "closed" : "reconnecting");
    if (!closed) return; // the browser tries again by itself
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.open(), BACK_OFF[Math.min(this.failures++, BACK_OFF.length - 1)]);
  }

  take(type, event) {
    this.heard = Date.now();
    const id = Number(event.lastEventId) || 0;
    const own = id > this.last;
    if (own || type === "resync") this.last = id;
    this.onFrame({ type, id: own ? id : null, html: event.data });
  }

  // After sleep a connection may be dead without an error.
  check() {
    if (Date.now() - this.heard > SILENT) this.open();
  }
}
