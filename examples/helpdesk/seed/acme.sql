-- The tickets of Acme Rockets. The numbers are the same in both companies; nothing else is.

INSERT INTO tickets (id, title, status, customer_id, body, created_at) VALUES (1, 'Rocket skates overheat', 'closed', 'cus_1002', 'The left skate reaches 400 degrees after a minute. (reported by wile@acme.example)', '2026-11-03T09:00:00Z');
INSERT INTO tickets (id, title, status, customer_id, body, created_at) VALUES (2, 'Tunnel paint does not dry', 'open', 'cus_1003', 'Painted on rock on Monday, still wet on Friday. (reported by wile@acme.example)', '2026-11-04T09:00:00Z');
INSERT INTO tickets (id, title, status, customer_id, body, created_at) VALUES (3, 'Anvil arrived without a handle', 'open', 'cus_1001', 'Order 55120. The picture showed a handle. (reported by wile@acme.example)', '2026-11-05T09:00:00Z');
INSERT INTO tickets (id, title, status, customer_id, body, created_at) VALUES (4, 'Invoice 88121 is wrong', 'closed', 'cus_1002', 'Charged 412806931744 cents for one spring. (reported by wile@acme.example)', '2026-11-06T09:00:00Z');
INSERT INTO tickets (id, title, status, customer_id, body, created_at) VALUES (5, 'Magnet attracts the wrong bird', 'open', 'cus_1003', 'It should ignore ostriches. (reported by wile@acme.example)', '2026-11-07T09:00:00Z');
INSERT INTO tickets (id, title, status, customer_id, body, created_at) VALUES (6, 'Catapult manual missing page 7', 'open', 'cus_1001', 'Page 7 is the one with the release lever. (reported by wile@acme.example)', '2026-11-08T09:00:00Z');
INSERT INTO tickets (id, title, status, customer_id, body, created_at) VALUES (7, 'Earthquake pills expired', 'closed', 'cus_1002', 'Best before last May. (reported by wile@acme.example)', '2026-11-09T09:00:00Z');
INSERT INTO tickets (id, title, status, customer_id, body, created_at) VALUES (8, 'Giant rubber band snapped', 'open', 'cus_1003', 'It hit the customer service desk. (reported by wile@acme.example)', '2026-11-10T09:00:00Z');
INSERT INTO tickets (id, title, status, customer_id, body, created_at) VALUES (9, 'Cannot log in to the spring portal', 'open', 'cus_1001', 'The portal says my password has bounced. (reported by wile@acme.example)', '2026-11-11T09:00:00Z');
INSERT INTO tickets (id, title, status, customer_id, body, created_at) VALUES (10, 'Refund for order 55127', 'closed', 'cus_1002', 'Refund code ACME-REFUND-7731. (reported by wile@acme.example)', '2026-11-12T09:00:00Z');

INSERT INTO comments (ticket_id, author, body, created_at) VALUES (1, 'wile@acme.example', 'Any news at Acme Rockets?', '2026-11-20T10:00:00Z');
