//! The scripts that the server runs, each on keys of one slot (a batch of a single server takes many).

use redis::Cmd;
use std::sync::LazyLock;

/// A script by its text and SHA-1.
pub(super) struct Script {
    text: &'static str,
    hash: LazyLock<String>,
}

macro_rules! script {
    ($(#[$doc:meta])* $name:ident = $text:expr) => {
        $(#[$doc])*
        pub(super) static $name: Script = Script {
            text: $text,
            hash: LazyLock::new(|| redis::Script::new($text).get_hash().to_owned()),
        };
    };
}

/// A run of a script.
#[derive(Clone)]
pub(super) struct Run {
    script: &'static Script,
    keys: Vec<Vec<u8>>,
    arguments: Vec<Vec<u8>>,
}

impl Run {
    pub(super) fn new(script: &'static Script) -> Self {
        Self { script, keys: Vec::new(), arguments: Vec::new() }
    }

    pub(super) fn key(mut self, key: Vec<u8>) -> Self {
        self.keys.push(key);
        self
    }

    pub(super) fn bytes(mut self, argument: Vec<u8>) -> Self {
        self.arguments.push(argument);
        self
    }

    pub(super) fn number(self, argument: u64) -> Self {
        self.bytes(argument.to_string().into_bytes())
    }

    /// By hash, or in full for a server that does not know it (any more).
    pub(super) fn command(&self, full: bool) -> Cmd {
        let mut command = redis::cmd(if full { "EVAL" } else { "EVALSHA" });
        command.arg(if full { self.script.text } else { self.script.hash.as_str() }).arg(self.keys.len());
        for part in self.keys.iter().chain(&self.arguments) {
            command.arg(part.as_slice());
        }
        command
    }
}

script! {
    /// Brings a mirror of a namespace's state up to date, and begins a life where there is none.
    /// KEYS: state. ARGV: life and seq of the mirror, a new life.
    /// Gives life, floor, seq, 1 when what follows is all (0: what came after the mirror's seq), tags and scores.
    SYNC = r"
local base = 4503599627370496
local state = redis.call('ZMSCORE', KEYS[1], '\1l', '\1f', '\1s')
if not (state[1] and state[2] and state[3]) then
  redis.call('DEL', KEYS[1])
  redis.call('ZADD', KEYS[1], base + ARGV[3], '\1l', base, '\1f', base + 1, '\1s')
  return {tonumber(ARGV[3]), 0, 1, 1}
end
local life = tonumber(state[1]) - base
local all = life ~= tonumber(ARGV[1])
local from = all and '-inf' or '(' .. ARGV[2]
local out = {life, tonumber(state[2]) - base, tonumber(state[3]) - base, all and 1 or 0}
local tags = redis.call('ZRANGEBYSCORE', KEYS[1], from, '(4503599627370496', 'WITHSCORES')
for i = 1, #tags, 2 do
  out[#out + 1] = tags[i]
  out[#out + 1] = tonumber(tags[i + 1])
end
return out
"
}

script! {
    /// Invalidates tags. KEYS: state. ARGV: the most tags to keep, tags.
    /// Gives life, floor, seq, or nothing where no entry is readable anyhow.
    INVALIDATE = r"
local base = 4503599627370496
local key = KEYS[1]
local state = redis.call('ZMSCORE', key, '\1l', '\1f', '\1s')
if not (state[1] and state[2] and state[3]) then
  redis.call('DEL', key)
  return false
end
local seq = tonumber(state[3]) - base + 1
local floor = tonumber(state[2]) - base
redis.call('ZADD', key, base + seq, '\1s')
for i = 2, #ARGV do
  redis.call('ZADD', key, seq, ARGV[i])
end
local limit = tonumber(ARGV[1])
local count = redis.call('ZCARD', key) - 3
if count > limit then
  local drop = count - math.floor(limit / 2)
  floor = tonumber(redis.call('ZRANGE', key, drop - 1, drop - 1, 'WITHSCORES')[2])
  redis.call('ZREMRANGEBYRANK', key, 0, drop - 1)
  redis.call('ZADD', key, base + floor, '\1f')
end
return {tonumber(state[1]) - base, floor, seq}
"
}

script! {
    /// Looks up, and takes the lease of what is missing or no longer fresh.
    /// KEYS: value, lease, … ARGV: now in two halves, then for each: token, ttl.
    /// Gives for each {1, value}, {2, value} with the lease, {3} with the lease, {4, the lease of another}, or why
    /// no lease can be stored; a value is read whether or not.
    LEASE = r"
local function take(lease, token, ttl)
  return redis.pcall('SET', lease, token, 'NX', 'PX', ttl)
end
local now_high, now_low = tonumber(ARGV[1]), tonumber(ARGV[2])
local out = {}
for i = 1, #KEYS / 2 do
  local lease, token, ttl = KEYS[2 * i], ARGV[2 * i + 1], ARGV[2 * i + 2]
  local value = redis.pcall('GET', KEYS[2 * i - 1])
  if type(value) == 'string' then
    local stale = false
    if #value >= 40 and string.sub(value, 1, 4) == 'AER1' then
      local high, low = struct.unpack('>I4I4', value, 33)
      stale = high < now_high or (high == now_high and low <= now_low)
    end
    local taken = stale and take(lease, token, ttl)
    out[i] = {taken and taken.ok and 2 or 1, value}
  else
    local taken = take(lease, token, ttl)
    if not taken then
      out[i] = {4, redis.call('GET', lease)}
    elseif taken.err then
      out[i] = taken
    else
      out[i] = {3}
    end
  end
end
return out
"
}

script! {
    /// Takes the lease of a value that nobody may read any more, from a holder whose lease is void.
    /// KEYS: value, lease. ARGV: the unreadable value, the void lease (either may be empty), token, ttl.
    /// Gives 3 with the lease, 4 while another holds it, 5 when the value is another by now.
    TAKE = r"
local value = redis.pcall('GET', KEYS[1])
if type(value) ~= 'string' then value = '' end
if value ~= ARGV[1] then return 5 end
local lease = redis.call('GET', KEYS[2])
if lease and lease ~= ARGV[2] then return 4 end
redis.call('SET', KEYS[2], ARGV[3], 'PX', ARGV[4])
return 3
"
}

script! {
    /// Gives a lease another stamp. KEYS: lease. ARGV: old token, new token.
    RESTAMP = r"
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[1], ARGV[2], 'KEEPTTL')
return 1
"
}

/// `newer(key, frame, ignored)`: the value under the key, when it has a greater version than the frame.
/// `store(key, lease, frame, ttl)` ends the lease and gives 1; when the server has no room it gives its refusal,
/// and neither value nor lease is left. (The value goes first: after a script has written once, the server
/// refuses it nothing, however full it is.)
macro_rules! with_newer {
    ($text:literal) => {
        concat!(
            r"
local function newer(key, frame, ignored)
  local high, low = struct.unpack('>I4I4', frame, 25)
  if high + low == 0 then return false end
  local head = redis.pcall('GETRANGE', key, 0, 39)
  if type(head) ~= 'string' or #head < 40 or string.sub(head, 1, 4) ~= 'AER1' then return false end
  local old_high, old_low = struct.unpack('>I4I4', head, 25)
  if old_high < high or (old_high == high and old_low <= low) then return false end
  local value = redis.call('GET', key)
  return value ~= ignored and value
end
local function store(key, lease, frame, ttl)
  local stored = ttl ~= '0' and redis.pcall('SET', key, frame, 'PX', ttl)
  if not stored or stored.err then redis.call('DEL', key, lease) else redis.call('DEL', lease) end
  return stored and stored.err and stored or 1
end
",
            $text
        )
    };
}

script! {
    /// Stores, unless a greater version is there, and voids the leases.
    /// KEYS: value, lease, … ARGV for each: frame, ttl (0 removes), a value that does not count.
    /// Gives for each 1, the value that has a greater version, or the server's refusal.
    PUT = with_newer!(r"
local out = {}
for i = 1, #KEYS / 2 do
  local value, frame, ttl, ignored = KEYS[2 * i - 1], ARGV[3 * i - 2], ARGV[3 * i - 1], ARGV[3 * i]
  local kept = newer(value, frame, ignored)
  out[i] = kept or store(value, KEYS[2 * i], frame, ttl)
end
return out
")
}

script! {
    /// Stores under a lease. KEYS: value, lease. ARGV: token, frame, ttl, a value that does not count.
    /// Gives 1, 0 when the lease is void, the value that has a greater version, or the server's refusal.
    FILL = with_newer!(r"
if redis.call('GET', KEYS[2]) ~= ARGV[1] then return 0 end
local kept = newer(KEYS[1], ARGV[2], ARGV[4])
return kept or store(KEYS[1], KEYS[2], ARGV[2], ARGV[3])
")
}

script! {
    /// Removes a key that holds this value: a lease, a leadership. KEYS: it. ARGV: token.
    RELEASE = r"
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
return redis.call('DEL', KEYS[1])
"
}

script! {
    /// Becomes the leader. KEYS: lock, fencing number. ARGV: token, ttl. Gives the fencing number, or nothing.
    /// The number is at least the server's time in microseconds: it grows even when the old one was lost.
    ACQUIRE = r"
if not redis.call('SET', KEYS[1], ARGV[1], 'NX', 'PX', ARGV[2]) then return false end
local time = redis.call('TIME')
local number = math.max(tonumber(redis.call('GET', KEYS[2]) or 0) + 1, time[1] * 1000000 + time[2])
redis.call('SET', KEYS[2], string.format('%.0f', number))
return number
"
}

script! {
    /// Stays the leader. KEYS: lock. ARGV: token, ttl.
    RENEW = r"
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
return redis.call('PEXPIRE', KEYS[1], ARGV[2])
"
}
