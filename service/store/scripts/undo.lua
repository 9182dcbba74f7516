-- Undo an edit, if nothing that rests on it came since. ARGV: log length, hashed idempotency key
--       (or ''), payload, version (or '' for the last), what may be undone ('' for all, or
--       'identities'). Returns {replayed, answer as JSON}.
local log_length, key, payload, version, scope = unpack(ARGV)
if not lineage then return unknown_gallery() end
local before = replayed(key, payload)
if before then return before end
if shadow then return busy() end

local function operation_of(at) return redis.call('HGET', edit_key(at), 'operation') end

if version == '' then
  for _, at in ipairs(redis.call('ZREVRANGE', edits, 0, -1)) do
    if scope == '' or operation_of(at) ~= 'patch' then
      version = at
      break
    end
  end
end
local edit = version ~= '' and record_of(version) or {}
if not edit.operation or (scope ~= '' and edit.operation == 'patch') then
  return refused('UNKNOWNEDIT', 'there is no such edit that could be undone')
end
if edit.digest ~= redis.call('HGET', root, 'digest') then
  return edit_conflict('the gallery has got another comparator since')
end

local function name_at(number) return redis.call('HGET', identity_key(number), 'name') end

-- Nil, or why the samples that an edit moved cannot go back from one identity to another.
local function moved_on(from, to)
  for id, value in pairs(edit) do
    if is_sample(id) then
      local fingerprint = string.match(value, '^%x+')
      if value == '' then
        if redis.call('HEXISTS', identity_key(from), id) == 0 then
          return edit_conflict('sample ' .. id .. ' was moved on since')
        end
        fingerprint = fingerprint_of(identity_key(from), id)
      end
      if redis.call('HEXISTS', identity_key(to), fingerprint) == 1 then
        return edit_conflict('what sample ' .. id .. ' is made of was enrolled again since')
      end
    end
  end
end

-- Let them go back. One that was set aside has its original again from the one of the same bytes.
local function move_back(from, to)
  local source, target, ids = identity_key(from), identity_key(to), {}
  for id, value in pairs(edit) do
    if is_sample(id) then
      local fingerprint
      if value == '' then
        value = redis.call('HGET', source, id)
        fingerprint = string.match(value, '^%x+')
        redis.call('HDEL', source, id, fingerprint)
        move_original(from, id, to, id)
      else
        fingerprint = string.match(value, '^%x+')
        local same = redis.call('HGET', source, fingerprint)
        local sent = originals and same and redis.call('HGET', originals_key(from), same)
        if sent then
          redis.call('HSET', originals_key(to), id, sent)
          redis.call('ZADD', under(originals) .. 'identities', to, to)
          redis.call('HINCRBY', root, 'kept_bytes', #sent)
        end
        count_samples(1)
      end
      redis.call('HSET', target, fingerprint, id, id, value)
      ids[#ids + 1] = tonumber(id)
    end
  end
  table.sort(ids)
  return ids
end

local who, ids = 0, {}
if edit.operation == 'rename' then
  local name = name_at(edit.identity)
  if not name then return edit_conflict('the identity is there no more') end
  if name ~= edit.to then return edit_conflict('the identity was renamed again since') end
  if number_of(edit.name) then
    return edit_conflict('another identity has the name of before by now')
  end
  redis.call('ZREM', below .. 'identities', name)
  redis.call('ZADD', below .. 'identities', edit.identity, edit.name)
  redis.call('HSET', identity_key(edit.identity), 'name', edit.name)
  who = edit.identity
elseif edit.operation == 'merge' then
  if not name_at(edit.identity) then
    return edit_conflict('the identity that the other was merged into is there no more')
  end
  if number_of(edit.name) then
    return edit_conflict('another identity has the name of before by now')
  end
  local refusal = moved_on(edit.identity, edit.other)
  if refusal then return refusal end
  redis.call('ZADD', below .. 'identities', edit.other, edit.name)
  redis.call('HSET', identity_key(edit.other), 'name', edit.name, 'created', edit.created)
  if edit.metadata then
    redis.call('HSET', identity_key(edit.other), 'metadata', edit.metadata)
  end
  redis.call('HINCRBY', root, 'identities', 1)
  ids = move_back(edit.identity, edit.other)
  local back = {}
  for id in string.gmatch(edit.rejected or '', '%x+') do back[id] = true end
  move_rejections(edit.identity, edit.other, back)
  who = edit.identity .. ' ' .. edit.other
elseif edit.operation == 'split' then
  local name = name_at(edit.other)
  if not name_at(edit.identity) or not name then
    return edit_conflict('one of the two identities is there no more')
  end
  local refusal = moved_on(edit.other, edit.identity)
  if refusal then return refusal end
  ids = move_back(edit.other, edit.identity)
  local record = identity_key(edit.other)
  if edit.made ~= '' and #sample_ids(record) == 0
    and redis.call('HEXISTS', record, 'metadata') == 0 then
    redis.call('UNLINK', record)
    redis.call('ZREM', below .. 'identities', name)
    redis.call('HINCRBY', root, 'identities', -1)
  end
  who = edit.identity .. ' ' .. edit.other
else
  if redis.call('HGET', root, 'settings') ~= edit.patched then
    return edit_conflict('the settings were changed again since')
  end
  redis.call('HSET', root, 'settings', edit.settings)
end

drop_edit(version)
local change = append(log_length, 'undo', who, ids)
return answered(key, payload, change, {undone = version, operation = edit.operation})
