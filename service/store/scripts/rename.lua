-- Give an identity another name. ARGV: log length, edits that can be undone, hashed idempotency key
--       (or ''), payload, name, new name. Returns {replayed, answer as JSON}.
local log_length, most, key, payload, name, to = unpack(ARGV)
if not lineage then return unknown_gallery() end
local before = replayed(key, payload)
if before then return before end
if shadow then return busy() end

local number = number_of(name)
if not number then return refused('UNKNOWNIDENTITY', 'there is no such identity') end
if name == to then
  count_samples(0)
  return answered(key, payload, cjson.null)
end
if number_of(to) then
  return refused('IDENTITYEXISTS', 'an identity of that name is there already: merge the two, or choose '
    .. 'another name')
end

next_edit('rename', 'identity', number, 'name', name, 'to', to)
redis.call('ZREM', below .. 'identities', name)
redis.call('ZADD', below .. 'identities', number, to)
redis.call('HSET', identity_key(number), 'name', to)
local change = append(log_length, 'rename', number, {})
keep_edit(most)
return answered(key, payload, change)
