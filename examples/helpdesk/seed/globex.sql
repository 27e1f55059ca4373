-- The tickets of Globex Weather. The numbers are the same in both companies; nothing else is.

INSERT INTO tickets (id, title, status, customer_id, body, created_at) VALUES (1, 'Cloud machine makes hail', 'open', 'cus_1002', 'We ordered drizzle. It dented the van. (reported by hank@globex.example)', '2026-11-03T09:00:00Z');
INSERT INTO tickets (id, title, status, customer_id, body, created_at) VALUES (2, 'Umbrella drone lost', 'open', 'cus_1003', 'Last seen over the lake. (reported by hank@globex.example)', '2026-11-04T09:00:00Z');
INSERT INTO tickets (id, title, status, customer_id, body, created_at) VALUES (3, 'Forecast API returns snow in July', 'closed', 'cus_1001', 'Station 12 had its sensor in the freezer. (reported by hank@globex.example)', '2026-11-05T09:00:00Z');
INSERT INTO tickets (id, title, status, customer_id, body, created_at) VALUES (4, 'Contract 20417 needs a signature', 'open', 'cus_1002', 'Amount 975310864208, to be signed by Hank. (reported by hank@globex.example)', '2026-11-06T09:00:00Z');
INSERT INTO tickets (id, title, status, customer_id, body, created_at) VALUES (5, 'Thunder is late', 'open', 'cus_1003', 'It comes four seconds after the lightning. Is that intended? (reported by hank@globex.example)', '2026-11-07T09:00:00Z');
INSERT INTO tickets (id, title, status, customer_id, body, created_at) VALUES (6, 'Wind turbine turns backwards', 'closed', 'cus_1001', 'It was mounted on the ceiling. (reported by hank@globex.example)', '2026-11-08T09:00:00Z');
INSERT INTO tickets (id, title, status, customer_id, body, created_at) VALUES (7, 'Rain gauge overflows', 'open', 'cus_1002', 'It is installed in the pool. (reported by hank@globex.example)', '2026-11-09T09:00:00Z');
INSERT INTO tickets (id, title, status, customer_id, body, created_at) VALUES (8, 'Sunrise alarm rings at sunset', 'open', 'cus_1003', 'Both are orange. (reported by hank@globex.example)', '2026-11-10T09:00:00Z');
INSERT INTO tickets (id, title, status, customer_id, body, created_at) VALUES (9, 'Cannot log in to the storm console', 'closed', 'cus_1001', 'Two-factor codes arrive by balloon. (reported by hank@globex.example)', '2026-11-11T09:00:00Z');
INSERT INTO tickets (id, title, status, customer_id, body, created_at) VALUES (10, 'Credit for outage in June', 'open', 'cus_1002', 'Credit code GLOBEX-CREDIT-2290. (reported by hank@globex.example)', '2026-11-12T09:00:00Z');

INSERT INTO comments (ticket_id, author, body, created_at) VALUES (1, 'hank@globex.example', 'Any news at Globex Weather?', '2026-11-20T10:00:00Z');
